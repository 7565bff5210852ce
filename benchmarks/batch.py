"""The batch: pairs an hour on 1 to W workers, memory, overhead, and how fast archives are planned.

    python benchmarks/batch.py [--studies 8] [--workers 1,2] [--coarse 1] [--archive 10000]

Each number of workers runs `refinefuse batch` anew, without pictures and reports, one thread a
worker. "Bare" is the same pairs by `fuse_pair` and `save_result` in one process. CPU seconds of a
batch include the start of its processes: take enough pairs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import torch
from batch_studies import make_archive, make_studies
from tables import print_table

from refinefuse_med.batch.plan import BatchPlan, make_plan
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.io import load_volume
from refinefuse_med.network import RefineFuse
from refinefuse_med.output import save_result
from refinefuse_med.pipeline import fuse_pair

COMMAND = [sys.executable, "-c", "from refinefuse_med.cli.main import main; main()", "batch"]


@contextmanager
def watched(process: psutil.Process) -> Iterator[tuple[dict[int, int], dict[int, float]]]:
    """Peak resident bytes and CPU seconds of a process and each of its children, by number."""
    peaks: dict[int, int] = {}
    spent: dict[int, float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            try:
                family = [process, *process.children(recursive=True)]
                for each in family:
                    peaks[each.pid] = max(peaks.get(each.pid, 0), each.memory_info().rss)
                    times = each.cpu_times()
                    spent[each.pid] = times.user + times.system
            except psutil.Error:
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks, spent
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class Cost:
    """What a batch took: seconds between its first begin and last end; bytes; sums of seconds."""

    seconds: float
    cpu_seconds: float
    coordinator: int
    worker: int
    registration: float
    network: float


def run_batch(root: Path, out: Path, workers: int) -> Cost:
    """Run a batch in a process of its own."""
    options = ["--jobs", str(workers), "--no-preview", "--no-report", "-q"]
    command = [*COMMAND, str(root), "-o", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with watched(psutil.Process(process.pid)) as (peaks, spent):
        if process.wait():
            raise SystemExit(f"the batch ended with {process.returncode}")
    text = (out / ".batch" / "journal.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line]
    ends = [line for line in lines if line["status"] == "done"]
    return Cost(
        seconds=max(line["time"] for line in ends) - min(line["time"] for line in lines),
        cpu_seconds=sum(spent.values()),
        coordinator=peaks.pop(process.pid),
        worker=max(peaks.values()),
        registration=sum(line["registration_seconds"] for line in ends),
        network=sum(line["fusion_seconds"] for line in ends),
    )


def run_bare(plan: BatchPlan, out: Path) -> float:
    """Seconds for the same pairs, one after the other, in this process on one thread."""
    torch.set_num_threads(1)
    config = FusionConfig(registration=RegistrationConfig(threads=1))
    model = RefineFuse.from_pretrained()
    start = time.perf_counter()
    for pair in plan.pairs:
        scans = [
            load_volume(scan.path, series_uid=scan.series_uid, modality=scan.modality)
            for scan in (pair.anatomical, pair.functional)
        ]
        save_result(fuse_pair(*scans, config, model=model), out / pair.name, OutputConfig())
    return time.perf_counter() - start


@click.command()
@click.option("--studies", default=8, show_default=True)
@click.option("--workers", default="1,2", show_default=True)
@click.option("--coarse", default=1, show_default=True, help="Times as coarse as the sample.")
@click.option("--archive", default=0, show_default=True, help="Series of a simulated archive.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; a temporary one.")
def main(studies: int, workers: str, coarse: int, archive: int, work: Path | None) -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        if archive:
            plan_archive(folder / "archive", archive)
        if studies:
            compare(folder, studies, [int(n) for n in workers.split(",")], coarse)


def plan_archive(root: Path, series: int) -> None:
    """Plan an archive of headers, in a process of its own."""
    make_archive(root, series)
    command = [*COMMAND, str(root), "-o", str(root.with_name("no-out")), "--dry-run", "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with watched(psutil.Process(process.pid)) as (peaks, _):
        plan = json.loads(process.communicate()[0])
    seconds = time.perf_counter() - start
    row = [f"{len(plan['pairs'])}", f"{seconds:.1f}", f"{sum(peaks.values()) / 1e6:.0f}"]
    print_table("Planning", ["pairs", "s", "MB, all processes"], {f"{series} series": row})


def compare(folder: Path, studies: int, workers: list[int], coarse: int) -> None:
    """Run the same studies on each number of workers, and without any."""
    root = folder / f"studies-{coarse}"
    make_studies(root, studies, coarse)
    rows = {}
    first = 0.0
    for count in workers:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        cost = run_batch(root, out, count)
        first = first or cost.seconds * workers[0]
        rows[f"{count} workers"] = [
            f"{studies / cost.seconds * 3600:.0f}",
            f"{first / cost.seconds:.2f}",
            f"{cost.seconds / studies * count:.2f}",
            f"{cost.cpu_seconds / studies:.2f}",
            f"{cost.registration / studies:.2f}",
            f"{cost.network / studies:.2f}",
            f"{cost.worker / 1e6:.0f}",
            f"{cost.coordinator / 1e6:.0f}",
        ]
    plan = make_plan(root)
    shutil.rmtree(folder / "bare", ignore_errors=True)
    cpu = time.process_time()
    bare = run_bare(plan, folder / "bare")
    cpu = time.process_time() - cpu
    cells = [f"{studies / bare * 3600:.0f}", "", f"{bare / studies:.2f}", f"{cpu / studies:.2f}"]
    rows["bare, 1 process"] = [*cells, "", "", "", ""]
    head = ["pairs/hour", "times one", "worker s/pair", "CPU s/pair", "registration s", "network s"]
    print_table(f"{studies} pairs", [*head, "MB a worker", "MB coordinator"], rows)


if __name__ == "__main__":
    main()
