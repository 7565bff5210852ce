"""How large a volume may be, asked before memory is taken for it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Final

from refinefuse_med.errors import InputError

__all__ = ["MAX_VOLUME_BYTES", "require_room"]

MAX_VOLUME_BYTES: Final = 32 * 2**30
"""Largest volume that is read, however much memory there is."""


def require_room(shape: Sequence[int], bytes_a_voxel: int, where: object) -> None:
    """Raise `InputError` where a volume of this shape is larger than the machine can hold."""
    size = math.prod(shape) * bytes_a_voxel
    limit = min(MAX_VOLUME_BYTES, _memory())
    if size > limit:
        voxels = " x ".join(map(str, shape))
        raise InputError(
            f"a volume of {voxels} voxels takes {size / 2**30:.1f} GiB, the limit here is "
            f"{limit / 2**30:.1f} GiB",
            where=where,
            hint="crop or resample the scan first",
        )


def _memory() -> int:
    """The machine's memory in bytes, as far as it can be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return MAX_VOLUME_BYTES
