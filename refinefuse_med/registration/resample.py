"""A moving scan on the fixed grid, and where it has something to say."""

from __future__ import annotations

from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from refinefuse_med.progress import SILENT, Monitor, run_filter
from refinefuse_med.registration.pose import Matrix
from refinefuse_med.volume import Grid, grid_of, like, to_sitk, with_frame_of_reference

__all__ = ["Interpolation", "composite", "field_of_view", "resample_to"]

Interpolation = Literal["linear", "nearest"]

EDGE_TOLERANCE_VOXELS = 1e-6
"""A voxel centre this near to the edge of the field of view counts as outside."""


def resample_to(
    moving: MetaTensor,
    grid: Grid,
    fixed_to_moving: Matrix | sitk.Transform,
    *,
    frame_of_reference_uid: str | None = None,
    interpolation: Interpolation = "linear",
    monitor: Monitor = SILENT,
) -> tuple[MetaTensor, torch.Tensor]:
    """Resample `moving` onto `grid`.

    Each voxel gets the interpolated value at its centre. Values are not averaged where
    `grid` is coarser than `moving`: what is read off the result is then what moving holds
    at that place, as in other viewers.

    Parameters
    ----------
    moving : MetaTensor, shape (C, I, J, K)
    grid : Grid
        The fixed grid.
    fixed_to_moving : array, shape (4, 4), or SimpleITK.Transform
        Maps LPS mm points of fixed to moving, as ITK transforms do.
    frame_of_reference_uid : str, optional
        That of the fixed grid, in which the result lies; None: not known.
    interpolation : {"linear", "nearest"}
    monitor : Monitor
        Asked whether to go on.

    Returns
    -------
    resampled : MetaTensor, shape (C, *grid.shape)
        In moving's units, with moving's metadata but for the frame of reference. Outside the
        field of view: moving's minimum where that is negative (air, in CT), else 0.
    field_of_view : torch.Tensor, shape grid.shape, bool
        See `field_of_view`.

    Raises
    ------
    GeometryError
        One of the grids is sheared.
    CancelledError
        The user asked to stop.
    """
    grid.require_orthogonal("fixed")
    outside = min(0.0, float(moving.min()))
    matrix = fixed_to_moving if isinstance(fixed_to_moving, np.ndarray) else None
    is_real = moving.is_floating_point() or matrix is not None
    image = to_sitk(moving if is_real else like(moving, moving.as_tensor().float()))
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(grid.shape)
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputOrigin(grid.affine_lps[:3, 3].tolist())
    resampler.SetOutputDirection(
        (grid.affine_lps[:3, :3] / np.asarray(grid.spacing_mm)).ravel().tolist()
    )
    resampler.SetTransform(fixed_to_moving if matrix is None else _linear(matrix))
    resampler.SetInterpolator(
        sitk.sitkLinear if interpolation == "linear" else sitk.sitkNearestNeighbor
    )
    # Where a matrix leads outside is computed; elsewhere ITK marks it, with what no voxel is.
    resampler.SetDefaultPixelValue(outside if matrix is not None else np.nan)
    data = _to_tensor(run_filter(resampler, image, monitor))
    inside = ~data[0].isnan() if matrix is None else field_of_view(grid, grid_of(moving), matrix)
    data[:, ~inside] = outside
    resampled = like(moving, data if is_real else data.round().to(moving.dtype), grid)
    return with_frame_of_reference(resampled, frame_of_reference_uid), inside


def _to_tensor(image: sitk.Image) -> torch.Tensor:
    # A view and one copy: both would be held with GetArrayFromImage.
    array = sitk.GetArrayViewFromImage(image)
    array = array.transpose(2, 1, 0)[None] if array.ndim == 3 else array.transpose(3, 2, 1, 0)
    return torch.from_numpy(np.array(array, order="C"))


def composite(*steps: Matrix | sitk.Transform) -> sitk.CompositeTransform:
    """Several transforms as one of ITK: the last is applied to a point first, as in a product."""
    return sitk.CompositeTransform(
        [_linear(step) if isinstance(step, np.ndarray) else step for step in steps]
    )


def _linear(matrix: Matrix) -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def field_of_view(fixed: Grid, moving: Grid, matrix_fixed_to_moving_lps: Matrix) -> torch.Tensor:
    """Where fixed voxel centres lie inside a voxel of moving, bool, shape ``fixed.shape``.

    The field of view ends half a voxel beyond the centres of the outermost voxels.
    """
    to_index = np.linalg.inv(moving.affine_lps) @ matrix_fixed_to_moving_lps @ fixed.affine_lps
    j, k = np.ogrid[: fixed.shape[1], : fixed.shape[2]]
    inside = np.ones(fixed.shape, dtype=bool)
    for row, size in zip(to_index, moving.shape, strict=False):
        across = row[1] * j + (row[2] * k + row[3])
        edge = size - 0.5 - EDGE_TOLERANCE_VOXELS
        for i, plane in enumerate(inside):  # of a whole volume, float64 would fill the memory
            index = row[0] * i + across
            plane &= (index > EDGE_TOLERANCE_VOXELS - 0.5) & (index < edge)
    return torch.from_numpy(inside)
