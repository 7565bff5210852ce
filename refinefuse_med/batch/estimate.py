"""What fusing a pair is expected to take: enough to size a run by, no more."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from refinefuse_med.io import SeriesEntry

__all__ = ["Estimate", "estimate_of"]

BASE_MB: Final = 950
"""A worker with PyTorch, MONAI and the network, and what a pair of any size takes."""
BYTES_PER_ANATOMICAL_VOXEL: Final = 70
BYTES_PER_FUNCTIONAL_VOXEL: Final = 10
"""Peak above the base, preview and report included. With all three the estimate lies 11 to 19 %
above what `benchmarks/batch_pair_memory.py` found of workers (docs/performance.md): 54 and 6 bytes
for each further voxel, and some 0.9 GB whatever the size."""

REGISTRATION_SECONDS: Final = 8.0
SECONDS_PER_MILLION_VOXELS: Final = 3.0
"""On one core of an ordinary machine."""


@dataclass(frozen=True)
class Estimate:
    """Peak memory of the worker in MB, and seconds on one core."""

    memory_mb: int
    seconds: int


def estimate_of(anatomical: SeriesEntry, functional: SeriesEntry) -> Estimate:
    """Estimate from the shapes alone; rough."""
    fixed, moving = (prod(side.shape) for side in (anatomical, functional))
    peak = fixed * BYTES_PER_ANATOMICAL_VOXEL + moving * BYTES_PER_FUNCTIONAL_VOXEL
    shared = anatomical.frame_of_reference_uid and (
        anatomical.frame_of_reference_uid == functional.frame_of_reference_uid
    )
    registration = 0.0 if shared else REGISTRATION_SECONDS
    return Estimate(
        memory_mb=BASE_MB + round(peak / 1e6),
        seconds=round(registration + SECONDS_PER_MILLION_VOXELS * fixed / 1e6) + 1,
    )
