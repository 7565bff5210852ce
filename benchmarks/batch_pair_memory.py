"""What fusing a pair takes of a batch worker's memory, with preview and report, by the pair's size.

    python benchmarks/batch_pair_memory.py [--size 256 256 180 --size 256 256 300] [--dicom]

An MR of each size and a PET are registered and fused as a worker does it, on one thread, each pair
in a process of its own. Prints the peak resident memory of the process (VmHWM) by stage, what it
held before the pair, what `refinefuse batch --dry-run` estimates, and the bytes for each voxel by
which the largest MR has more than the smallest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

import click
from batch_studies import make_pair
from tables import print_table

_STAGES = ("register", "fuse", "write")
_COLUMNS = ("before", *_STAGES, "estimate")

_RUN = """
import json, sys
from pathlib import Path
from refinefuse_med.batch import task
from refinefuse_med.batch.job import Job
from refinefuse_med.batch.plan import make_plan
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.progress import Monitor

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))

peaks = {}
def peak_of(stage):
    peaks[stage] = status("VmHWM")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew

def tell(stage, fraction):
    if fraction == 0 and stage == "write":
        peak_of("fuse")

root, work = map(Path, sys.argv[1:])
pair, = make_plan(root).pairs
task._model(None)
config = FusionConfig(registration=RegistrationConfig(threads=1))
job = Job(pair, config, OutputConfig(preview=True, report=True), work)
before = status("VmRSS")
known = task.register_pair_of(job, Monitor())
peak_of("register")
task.fuse_pair_of(job, known, Monitor(tell))
peak_of("write")
print(json.dumps({"before": before, "estimate": pair.estimate.memory_mb * 10**6, **peaks}))
"""


@click.command()
@click.option(
    "--size",
    "sizes",
    nargs=3,
    type=int,
    multiple=True,
    default=[(192, 192, 120), (256, 256, 180), (256, 256, 300)],
    show_default=True,
)
@click.option("--pet", nargs=3, type=int, default=(128, 128, 90), show_default=True)
@click.option("--dicom", is_flag=True, help="DICOM in and out, instead of NIfTI.")
def main(sizes: list[tuple[int, int, int]], pet: tuple[int, int, int], dicom: bool) -> None:
    """Measure on this machine."""
    rows, peaks = {}, {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            root, work = Path(temporary) / "study", Path(temporary) / "work"
            work.mkdir()
            make_pair(root, size, pet, dicom=dicom)
            ran = subprocess.run(
                [sys.executable, "-c", _RUN, root, work],
                check=True,
                capture_output=True,
                text=True,
            )
        found: dict[str, int] = json.loads(ran.stdout.splitlines()[-1])
        rows[" x ".join(map(str, size))] = [f"{found[name] / 1e6:.0f}" for name in _COLUMNS]
        peaks[prod(size)] = max(found[name] for name in _STAGES)
    head = [f"{name}, MB" for name in _COLUMNS]
    print_table(f"Peak of a worker, {'DICOM' if dicom else 'NIfTI'}, PET {pet}", head, rows)
    fewest, most = min(peaks), max(peaks)
    if most > fewest:
        print(f"\nbytes for a further voxel: {(peaks[most] - peaks[fewest]) / (most - fewest):.0f}")


if __name__ == "__main__":
    main()
