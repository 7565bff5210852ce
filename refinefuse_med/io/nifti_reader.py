"""Read NIfTI volumes, grey or RGB24, slice by slice; affine and values as they are."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med.errors import InputError
from refinefuse_med.grid import Grid
from refinefuse_med.io.geometry import StackGeometry
from refinefuse_med.io.limits import require_room
from refinefuse_med.io.nifti_header import NiftiPlan, opened, plan_nifti
from refinefuse_med.io.planes import fill
from refinefuse_med.io.shear import straighten
from refinefuse_med.io.values import AIR_HU
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.volume import SourceHeader, make_volume

__all__ = ["read_nifti"]

_EXACT: Final = 2**24
"""Largest integer up to which float32 holds all of them."""

_CHUNK: Final = 2**20


def read_nifti(
    path: Path,
    modality: str | None = None,
    frame: int | None = None,
    monitor: Monitor = SILENT,
) -> MetaTensor:
    """Read a NIfTI file.

    Parameters
    ----------
    path : Path
        A .nii or .nii.gz file.
    modality : str, optional
        DICOM modality code; overrules what the file, its sidecar or its name say.
    frame : int, optional
        Which volume of several, from 1.
    monitor : Monitor
        Told how many slices are read; asked whether to go on.

    Returns
    -------
    MetaTensor, shape (1, I, J, K) float32, or (3, I, J, K) uint8 for RGB24
        With scl_slope and scl_inter applied; NaN around the scan is background.

    Raises
    ------
    InputError
        Not a NIfTI file, damaged, or of several frames none of which was chosen.
    GeometryError
        Its affine is not finite, has no inverse, or is sheared beyond mending.
    """
    plan = plan_nifti(path, modality)
    plan.require_volume(path)
    if frame is None and plan.frames > 1:
        raise InputError(
            f"{plan.frames} frames in one file",
            where=path,
            hint="choose one with #N in place of a series UID, such as #1",
        )
    if (number := frame or 1) > plan.frames:
        raise InputError(f"no frame {number} in a file of {plan.frames}", where=path)
    i, j, k = plan.shape[:3]
    require_room((i, j, k), 3 if plan.colour else 4, path)
    data = np.empty((3, i, j, k) if plan.colour else (i, j, k), np.uint8 if plan.colour else "f4")
    try:
        with opened(path) as (file, _):
            offset = plan.header.get_data_offset()
            _skip(file, offset + (number - 1) * i * j * k * _itemsize(plan))
            planes = monitor.watch("reading", _planes(file, plan), k)
            fill(data, planes, StackGeometry(tuple(range(k)), plan.affine_ras))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("the file is truncated or damaged", where=path) from error
    notes = [*plan.warnings]
    if plan.frames > 1:
        notes.append(f"frame {number} of {plan.frames}")
    background = AIR_HU if plan.units == "HU" else 0.0
    notes += _mend(data, plan, background, path)
    source, grid = Grid((i, j, k), plan.affine_ras), plan.grid
    if grid is not source and not source.is_orthogonal():
        require_room(grid.shape, 3 if plan.colour else 4, path)
        data = straighten(data, source, grid, background)
    return make_volume(
        data,
        grid.affine_ras,
        modality=plan.modality,
        units=plan.units,
        source=SourceHeader("nifti", str(path), warnings=tuple(notes)),
    )


def _itemsize(plan: NiftiPlan) -> int:
    return int(plan.header.get_data_dtype().itemsize)


def _skip(file: BinaryIO, count: int) -> None:
    """Read past bytes, which a compressed file cannot jump over."""
    if count < 0:
        raise ValueError("negative offset")
    while count > 0:
        read = len(file.read(min(count, _CHUNK)))
        if not read:
            raise EOFError
        count -= read


def _planes(file: BinaryIO, plan: NiftiPlan) -> Iterator[NDArray[Any]]:
    """The slices along K of the volume that the file stands at, in real values."""
    i, j, k = plan.shape[:3]
    dtype = plan.header.get_data_dtype()
    slope, intercept = plan.header.get_slope_inter()
    scaled = not plan.colour and (slope not in (None, 1.0) or intercept not in (None, 0.0))
    for _ in range(k):
        raw = file.read(i * j * dtype.itemsize)
        stored = np.frombuffer(raw, dtype=dtype, count=i * j).reshape((i, j), order="F")
        if plan.colour:
            yield np.stack([stored[name] for name in ("R", "G", "B")])
        elif scaled:
            yield _single(stored, np.float64(slope), np.float64(intercept))
        else:
            yield _single(stored)


def _single(
    stored: NDArray[Any], slope: np.float64 | None = None, intercept: float = 0.0
) -> NDArray[np.float32]:
    """As float32; what it cannot hold is infinite, and left for whoever uses it to refuse."""
    with np.errstate(all="ignore"):
        values = stored if slope is None else stored * slope + intercept
        return values.astype(np.float32)


def _mend(data: NDArray[Any], plan: NiftiPlan, background: float, path: Path) -> list[str]:
    """Fill in what has no value, in place; tell of it and of values that were rounded."""
    if plan.colour:
        return []
    notes = []
    if empty := _fill_outside(data, background):
        if empty == math.prod(data.shape):
            raise InputError("no voxel has a value (all are NaN)", where=path)
        notes.append(f"{empty} voxels without a value (NaN) around it were set to {background:g}")
    dtype = plan.header.get_data_dtype()
    if dtype.itemsize > 2 and dtype.kind in "iu" and max(data.max(), -data.min()) >= _EXACT:
        notes.append(f"integers from {_EXACT} on were rounded to 24 bits")
    return notes


def _fill_outside(data: NDArray[Any], background: float) -> int:
    """Fill NaN that reach the border, as masks leave them, and count them.

    Those inside are left for whoever uses the volume to refuse: nothing tells what belongs there.
    """
    missing = np.isnan(data)
    if not missing.any():
        return 0
    from scipy import ndimage

    inner = np.zeros_like(missing)
    inner[1:-1, 1:-1, 1:-1] = True
    outside = ndimage.binary_propagation(missing & ~inner, mask=missing)
    data[outside] = background
    return int(outside.sum())
