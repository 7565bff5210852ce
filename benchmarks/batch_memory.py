"""Whether a worker's memory stays flat: one worker, many pairs.

    python benchmarks/batch_memory.py [--pairs 200] [--coarse 8] [-- OPTIONS OF refinefuse batch]

Prints the worker's resident memory at the end of pairs, the slope over all but the first fifth
(which fills caches), and a verdict: flat where the slope takes less than 5 % of it over the run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from batch_process import ends_of, start, watched
from batch_studies import make_studies


@click.command()
@click.option("--pairs", default=200, show_default=True)
@click.option("--coarse", default=8, show_default=True, help="Times as coarse as the sample.")
@click.option("--dicom", is_flag=True, help="DICOM in and out, instead of NIfTI.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; a temporary one.")
@click.argument("options", nargs=-1)
def main(pairs: int, coarse: int, dicom: bool, work: Path | None, options: tuple[str, ...]) -> None:
    """Print memory by pair, the slope, and the verdict."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        root = folder / f"studies-{coarse}-{'dicom' if dicom else 'nifti'}"
        make_studies(root, pairs, coarse, dicom=dicom)
        process = start(root, folder / "out", "--jobs", "1", *options)
        with watched(process, every_s=0.05) as watch:
            status = process.wait()
        times = [line["time"] for line in ends_of(folder / "out")]
    # The worker is the process that has worked most.
    samples = max(watch.seen.values(), key=lambda seen: seen[-1][2])
    at, rss, _ = np.array(samples).T
    ends = np.array([rss[np.searchsorted(at, time).clip(max=len(at) - 1)] for time in times]) / 1e6
    for number in range(0, len(ends), max(1, len(ends) // 10)):
        print(f"pair {number + 1}: {ends[number]:.0f} MB")
    settled = ends[len(ends) // 5 :]
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    flat = abs(slope) * len(settled) < 0.05 * settled.mean()
    print(f"{len(ends)} pairs (status {status}): {slope * 1000:+.0f} kB a pair")
    print(f"verdict: {'met' if flat and not status else 'NOT met'}: memory stays flat")
    sys.exit(0 if flat and not status else 1)


if __name__ == "__main__":
    main()
