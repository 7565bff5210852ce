"""The batch under fire: workers, or the whole run, killed at random until all pairs are done.

    python benchmarks/batch_kills.py [--pairs 100] [--every 20] [--whole 50] [--coarse 1]

First an undisturbed run; then one whose workers get SIGKILL at random every `--every` seconds;
then one that as a whole gets SIGKILL `--whole` times and is started again each time. What is left
must be the same bytes, times aside, and at no moment may a folder be there that is not complete.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import psutil
from batch_studies import make_studies

COMMAND = [sys.executable, "-c", "from refinefuse_med.cli.main import main; main()", "batch"]
OPTIONS = ["--no-preview", "--no-report", "-q"]


def start(root: Path, out: Path, more: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Begin a batch, or go on with it."""
    command = [*COMMAND, str(root), "-o", str(out), *OPTIONS, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Worker processes: those that were spawned and are not trackers of resources."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def bytes_of(out: Path) -> dict[str, bytes]:
    """Every file but the hidden ones and tables of times, without the times in records."""
    return {
        path.relative_to(out).as_posix(): re.sub(rb'seconds": [0-9.e-]+', b"", path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".batch" not in path.parts and path.suffix not in (".csv", ".html")
    }


def partial_folders(out: Path) -> list[str]:
    """Folders that are there without being complete, or that should not be seen at all."""
    if not out.is_dir():
        return []
    return [
        path.name
        for path in out.iterdir()
        if (path.is_dir() and path.name != ".batch" and not (path / "result.json").is_file())
        or (".refinefuse-partial" in path.name and path.is_dir())
    ]


def kill_workers(root: Path, out: Path, every_s: float, more: tuple[str, ...]) -> tuple[int, int]:
    """One run whose workers die; how many were killed, and how it ended."""
    process, kills = start(root, out, more), 0
    while process.poll() is None:
        try:
            process.wait(every_s)
        except subprocess.TimeoutExpired:
            if workers := workers_of(process):
                random.choice(workers).kill()
                kills += 1
    return kills, process.returncode


def kill_runs(
    root: Path, out: Path, times: int, longest_s: float, more: tuple[str, ...]
) -> tuple[int, int, list[str]]:
    """Runs that die as a whole, then one that does not; kills, its end, and partial folders."""
    seen: list[str] = []
    kills = 0
    for _ in range(times):
        process = start(root, out, more)
        until = time.monotonic() + random.uniform(0, longest_s)
        while time.monotonic() < until and process.poll() is None:
            seen += partial_folders(out)
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
        seen += partial_folders(out)
    return kills, start(root, out, more).wait(), seen


@click.command()
@click.option("--pairs", default=100, show_default=True)
@click.option("--every", default=20.0, show_default=True, help="Seconds between workers killed.")
@click.option("--whole", default=50, show_default=True, help="Kills of the whole run.")
@click.option("--longest", default=60.0, show_default=True, help="Seconds to the latest of them.")
@click.option("--coarse", default=1, show_default=True, help="Times as coarse as the sample.")
@click.option("--register", default="auto", show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; a temporary one.")
def main(
    pairs: int,
    every: float,
    whole: int,
    longest: float,
    coarse: int,
    register: str,
    jobs: int,
    work: Path | None,
) -> None:
    """Print what became of each run."""
    random.seed(0)
    more = ("--register", register, "--jobs", str(jobs))
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        root = folder / f"studies-{coarse}"
        make_studies(root, pairs, coarse)
        began = time.monotonic()
        status = start(root, folder / "calm", more).wait()
        calm = bytes_of(folder / "calm")
        took = time.monotonic() - began
        print(f"undisturbed: status {status}, {took:.0f} s, {len(calm)} files", flush=True)
        kills, status = kill_workers(root, folder / "workers", every, more)
        same = bytes_of(folder / "workers") == calm
        print(f"{kills} workers killed: status {status}, same bytes: {same}", flush=True)
        kills, status, seen = kill_runs(root, folder / "runs", whole, longest, more)
        same = bytes_of(folder / "runs") == calm
        print(f"{kills} runs killed: status {status}, same bytes: {same}, partial: {seen}")


if __name__ == "__main__":
    main()
