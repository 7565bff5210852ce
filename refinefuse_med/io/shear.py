"""Grids whose axes stand askew, and the interpolation onto one at right angles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.grid import Grid

__all__ = ["straighten", "straightened"]


def straightened(grid: Grid) -> Grid:
    """The smallest grid at right angles that holds all of a sheared one; itself if it is none.

    Of the axes of the slices, I is kept and J stays in their plane; K becomes their normal.
    Voxels keep their extent along each.
    """
    if grid.is_orthogonal():
        return grid
    columns = grid.affine_ras[:3, :3]
    # Gram-Schmidt, which is QR with the signs of the axes kept.
    axes, sizes = np.linalg.qr(columns)
    signs = np.sign(np.diag(sizes))
    axes, spacing = axes * signs, np.abs(np.diag(sizes))
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape]), axis=-1).reshape(-1, 3)
    along = (corners @ columns.T) @ axes / spacing
    low, high = along.min(axis=0), along.max(axis=0)
    i, j, k = (1 + np.ceil(high - low - 1e-6)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = grid.affine_ras[:3, 3] + affine[:3, :3] @ low
    return Grid((int(i), int(j), int(k)), affine)


def straighten(data: NDArray[Any], source: Grid, target: Grid, background: float) -> NDArray[Any]:
    """Interpolate values, shape (..., I, J, K), from a sheared grid onto another, linearly."""
    from scipy import ndimage

    step = np.linalg.inv(source.affine_ras) @ target.affine_ras
    result = np.empty((*data.shape[:-3], *target.shape), dtype=data.dtype)
    for index in np.ndindex(data.shape[:-3]):
        ndimage.affine_transform(
            data[index],
            step[:3, :3],
            # Rounded, so that the outermost voxels do not fall outside by an error of 1e-16.
            offset=np.round(step[:3, 3], 6),
            output=result[index],
            output_shape=target.shape,
            order=1,
            mode="constant",
            cval=background,
        )
    return result
