"""The batch beside the bare pipeline: time a pair, scaling with workers, memory, planning.

    python benchmarks/batch.py [--pairs 8] [--workers 1,2] [--coarse 1] [--dicom]
    python benchmarks/batch.py --pairs 0 --archive 10000

Every run is a process of its own, on one thread a worker, and writes what `refinefuse batch`
writes. "Steady" is from the end of the first pair to that of the last, without the start of
processes, which a run pays once. Prints a verdict on the overhead of one worker, and on two beside
one. The times want an idle machine; the CPU seconds do not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from batch_process import COMMAND, Watch, ends_of, lines_of, start, watched
from batch_studies import make_archive, make_studies
from tables import print_table

MOST_OVERHEAD = 0.05
LEAST_SCALING = 1.6


@dataclass(frozen=True)
class Cost:
    """What some pairs took: seconds a pair, all and steady, CPU seconds; registration; peak MB."""

    wall: float
    steady: float
    cpu: float
    registration: float
    peak_mb: float

    @property
    def cells(self) -> list[str]:
        """As the table shows it."""
        return [
            f"{3600 / self.wall:.0f}",
            *(f"{each:.2f}" for each in (self.wall, self.steady, self.cpu)),
            f"{self.registration:.2f}" if self.registration else "",
            f"{self.peak_mb:.0f}",
        ]


def run_batch(root: Path, out: Path, workers: int) -> Cost:
    """Run a batch, and tell its cost."""
    shutil.rmtree(out, ignore_errors=True)
    process = start(root, out, "--jobs", str(workers))
    with watched(process) as watch:
        if process.wait():
            raise SystemExit(f"the batch ended with {process.returncode}")
    ends = ends_of(out)
    registration = sum(line["registration_seconds"] for line in ends) / len(ends)
    times = [line["time"] for line in ends]
    return _cost(
        watch, process.pid, min(line["time"] for line in lines_of(out)), times, registration
    )


def run_bare(root: Path, out: Path) -> Cost:
    """Run the pipeline alone."""
    shutil.rmtree(out, ignore_errors=True)
    script = Path(__file__).with_name("batch_bare.py")
    command = [sys.executable, str(script), str(root), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with watched(process) as watch:
        ends = json.loads(process.communicate()[0])
    return _cost(watch, None, ends[0] - (ends[-1] - ends[0]) / (len(ends) - 1), ends, 0.0)


def _cost(
    watch: Watch, coordinator: int | None, begun: float, ends: list[float], registration: float
) -> Cost:
    first, last, more = ends[0], ends[-1], len(ends) - 1
    return Cost(
        wall=(last - begun) / len(ends),
        steady=(last - first) / more,
        cpu=watch.cpu_seconds(first, last) / more,
        registration=registration,
        peak_mb=max(watch.peak(pid) for pid in list(watch.seen) if pid != coordinator) / 1e6,
    )


def plan_archive(root: Path, series: int) -> None:
    """Plan an archive of headers, in a process of its own."""
    make_archive(root, series)
    command = [*COMMAND, str(root), "-o", str(root.with_name("no-out")), "--dry-run", "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with watched(process) as watch:
        plan = json.loads(process.communicate()[0])
    seconds = time.perf_counter() - began
    peak = sum(watch.peak(pid) for pid in list(watch.seen)) / 1e6
    row = [f"{len(plan['pairs'])}", f"{seconds:.1f}", f"{peak:.0f}"]
    print_table("Planning", ["pairs", "s", "MB, all processes"], {f"{series} series": row})
    print(f"verdict: {_met(seconds < 60 and peak < 1000)}: under 60 s and 1 GB")


def compare(folder: Path, pairs: int, workers: list[int], coarse: int, dicom: bool) -> None:
    """Run the same pairs on each number of workers, and without any."""
    root = folder / f"studies-{coarse}-{'dicom' if dicom else 'nifti'}"
    make_studies(root, pairs, coarse, dicom=dicom)
    costs = {count: run_batch(root, folder / "out", count) for count in workers}
    bare = run_bare(root, folder / "bare")
    rows = {f"{count} workers": cost.cells for count, cost in costs.items()}
    head = ["pairs/hour", "s/pair", "steady s/pair", "CPU s/pair", "registration s", "peak MB"]
    print_table(f"{pairs} pairs", head, {**rows, "bare, 1 process": bare.cells})
    print()
    if one := costs.get(1):
        wall, cpu = one.steady / bare.steady - 1, one.cpu / bare.cpu - 1
        said = f"overhead of one worker {wall:+.1%} (CPU of all processes {cpu:+.1%})"
        print(f"verdict: {_met(wall < MOST_OVERHEAD)}: {said}, under {MOST_OVERHEAD:.0%}")
    if one and (two := costs.get(2)):
        gain = one.wall / two.wall
        said = f"two workers {gain:.2f} times one, at least {LEAST_SCALING}"
        print(f"verdict: {_met(gain >= LEAST_SCALING)}: {said}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT met"


@click.command()
@click.option("--pairs", default=8, show_default=True)
@click.option("--workers", default="1,2", show_default=True)
@click.option("--coarse", default=1, show_default=True, help="Times as coarse as the sample.")
@click.option("--dicom", is_flag=True, help="DICOM in and out, instead of NIfTI.")
@click.option("--archive", default=0, show_default=True, help="Series of a simulated archive.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; a temporary one.")
def main(
    pairs: int, workers: str, coarse: int, dicom: bool, archive: int, work: Path | None
) -> None:
    """Print the tables, and the verdicts."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        if archive:
            plan_archive(folder / "archive", archive)
        if pairs:
            compare(folder, pairs, [int(n) for n in workers.split(",")], coarse, dicom)


if __name__ == "__main__":
    main()
