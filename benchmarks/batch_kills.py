"""The batch under fire: workers, or the whole run, killed at random until all pairs are done.

    python benchmarks/batch_kills.py [--pairs 100] [--every 20] [--whole 50] [--coarse 4] [--dicom]
        [-- OPTIONS OF refinefuse batch]

First an undisturbed run; then one whose workers get SIGKILL at random every `--every` seconds;
then one that as a whole gets SIGKILL `--whole` times and is started again each time. What is left
must be the same bytes, times aside, and at no moment may a folder be there that is not complete.
Prints a verdict, and ends with 1 where it is not met.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from batch_process import start, workers_of
from batch_studies import make_studies


def bytes_of(out: Path) -> dict[str, bytes]:
    """Every file but the hidden ones and tables of times, without the times in records."""
    return {
        path.relative_to(out).as_posix(): re.sub(rb'seconds": [0-9.e-]+', b"", path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".batch" not in path.parts and path.suffix not in (".csv", ".html")
    }


def told(out: Path, calm: dict[str, bytes]) -> str:
    """Whether what is left is the same; else what differs."""
    left = bytes_of(out)
    differing = sorted(
        name for name in left.keys() | calm.keys() if left.get(name) != calm.get(name)
    )
    return f"{len(differing)} files differ, such as {differing[:3]}" if differing else "same bytes"


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
    process, kills = start(root, out, *more), 0
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
) -> Iterator[list[str]]:
    """Runs that die as a whole, each going on where the one before ended, `times` in all.

    Yields the partial folders that were seen, whenever all pairs are done: `out` may then be
    looked at, and is begun anew.
    """
    kills = 0
    while kills < times:
        shutil.rmtree(out, ignore_errors=True)
        seen: list[str] = []
        is_whole = False
        while not is_whole:
            process = start(root, out, *more)
            left = random.uniform(0, longest_s) if kills < times else float("inf")
            until = time.monotonic() + left
            while time.monotonic() < until and process.poll() is None:
                seen += partial_folders(out)
                time.sleep(0.02)
            is_whole = process.poll() is not None
            if not is_whole:
                process.kill()
                process.wait()
                kills += 1
            seen += partial_folders(out)
        yield seen if process.returncode == 0 else [*seen, f"status {process.returncode}"]


@click.command()
@click.option("--pairs", default=100, show_default=True)
@click.option("--every", default=20.0, show_default=True, help="Seconds between workers killed.")
@click.option("--whole", default=50, show_default=True, help="Kills of the whole run.")
@click.option("--longest", default=30.0, show_default=True, help="Seconds to the latest of them.")
@click.option("--coarse", default=4, show_default=True, help="Times as coarse as the sample.")
@click.option("--dicom", is_flag=True, help="DICOM in and out, instead of NIfTI.")
@click.option("--jobs", default=2, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; a temporary one.")
@click.argument("options", nargs=-1)
def main(
    pairs: int,
    every: float,
    whole: int,
    longest: float,
    coarse: int,
    dicom: bool,
    jobs: int,
    work: Path | None,
    options: tuple[str, ...],
) -> None:
    """Print what became of each run."""
    random.seed(0)
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"  # DICOM objects are dated
    more = ("--jobs", str(jobs), *options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        root = folder / f"studies-{coarse}-{'dicom' if dicom else 'nifti'}"
        make_studies(root, pairs, coarse, dicom=dicom)
        began = time.monotonic()
        status = start(root, folder / "calm", *more).wait()
        calm = bytes_of(folder / "calm")
        took = time.monotonic() - began
        print(f"undisturbed: status {status}, {took:.0f} s, {len(calm)} files", flush=True)
        ends = [status]
        kills, status = kill_workers(root, folder / "workers", every, more)
        ends += [status, said := told(folder / "workers", calm)]
        print(f"{kills} workers killed: status {status}, {said}", flush=True)
        for seen in kill_runs(root, folder / "runs", whole, longest, more):
            ends += [said := told(folder / "runs", calm), *seen]
            print(f"whole again after kills: {said}, partial folders: {seen}", flush=True)
        met = {*ends} == {0, "same bytes"}
        print(f"{kills} workers and {whole} runs killed, {pairs} pairs")
        print(f"verdict: {'met' if met else 'NOT met'}: nothing lost, same bytes, nothing partial")
        sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
