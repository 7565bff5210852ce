"""Pictures that show whether two scans lie on each other: checkerboard, edges, difference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from refinefuse_med.progress import SILENT, Monitor, run_filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "EDGE_COLOUR",
    "TILE_MM",
    "checkerboard",
    "difference",
    "draw_edges",
    "find_edges",
    "find_edges_through",
]

TILE_MM: Final = 24.0
EDGE_COLOUR: Final = (0, 255, 160)
"""A green that no palette of functional scans has."""

_SMOOTHING_MM2: Final = 2.0
_WEAK_EDGE: Final = 0.05
_STRONG_EDGE: Final = 0.1
"""Gradient, in parts of the window per voxel, from which an edge is one; weak ones only where
they go on from a strong one."""
_SMOOTHING_ERROR: Final = 0.01
_WIDEST_KERNEL: Final = 32
"""ITK's own, voxels to either side."""
_VOXELS_AT_ONCE: Final = 2**24
"""The filter takes some 20 bytes for each."""

_AROUND_MM: Final = 12.0
"""How far around a plane its edges are searched: what smoothing reaches is less than half of it."""


def checkerboard(
    grey: torch.Tensor, rgb: torch.Tensor, spacing_mm: Sequence[float], first: int = 0
) -> torch.Tensor:
    """Show one scan and the other in turn, in tiles of `TILE_MM` along all three axes.

    Parameters
    ----------
    grey : Tensor, shape (I, J, K), uint8
    rgb : Tensor, shape (3, I, J, K), uint8
    spacing_mm : sequence of three float
    first : int
        Index along I at which this part of a volume begins: its tiles are those of the whole.

    Returns
    -------
    Tensor, shape (3, I, J, K), uint8
    """
    i, j, k = (
        torch.arange(start, start + size).mul(mm).div(TILE_MM, rounding_mode="floor") % 2 == 1
        for start, size, mm in zip((first, 0, 0), grey.shape, spacing_mm, strict=True)
    )
    is_other = i[:, None, None] ^ j[None, :, None] ^ k
    return torch.where(is_other, rgb, grey.expand_as(rgb))


def find_edges(
    grey: torch.Tensor, spacing_mm: Sequence[float], monitor: Monitor = SILENT
) -> torch.Tensor:
    """Find the edges of a scan, a voxel wide (Canny).

    A large one is gone through slab by slab, with the same edges: a slab is found with all that
    has a say in it, and edges go on from slab to slab.

    Parameters
    ----------
    grey : Tensor, shape (I, J, K), in [0, 1]
    spacing_mm : sequence of three float
    monitor : Monitor
        Asked whether to go on.

    Returns
    -------
    Tensor, shape (I, J, K), bool

    Raises
    ------
    CancelledError
        The user asked to stop.
    """
    plane, reach = grey[0].numel(), _reach(float(spacing_mm[0]))
    if grey.numel() <= _VOXELS_AT_ONCE:
        return torch.from_numpy(_canny(grey, spacing_mm, _WEAK_EDGE, _STRONG_EDGE, monitor))
    size = len(grey)
    weak, strong = (np.empty(grey.shape, dtype=bool) for _ in range(2))
    step = max(_VOXELS_AT_ONCE // plane - 2 * reach, reach)
    for start in range(0, size, step):
        stop = min(start + step, size)
        first = max(start - reach, 0)
        slab = grey[first : stop + reach]
        for found, threshold in ((weak, _WEAK_EDGE), (strong, _STRONG_EDGE)):
            edges = _canny(slab, spacing_mm, threshold, threshold, monitor)
            found[start:stop] = edges[start - first : stop - first]
    return torch.from_numpy(_going_on_from(strong, weak))


def _canny(
    grey: torch.Tensor,
    spacing_mm: Sequence[float],
    weak: float,
    strong: float,
    monitor: Monitor,
) -> NDArray[np.bool_]:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(grey.numpy().transpose(2, 1, 0))
    image.SetSpacing([float(mm) for mm in spacing_mm])
    canny = sitk.CannyEdgeDetectionImageFilter()
    canny.SetVariance(_SMOOTHING_MM2)
    canny.SetMaximumError(_SMOOTHING_ERROR)
    canny.SetLowerThreshold(weak)
    canny.SetUpperThreshold(strong)
    found = sitk.GetArrayFromImage(run_filter(canny, image, monitor)).transpose(2, 1, 0) > 0
    return np.ascontiguousarray(found)


def _reach(spacing_mm: float) -> int:
    """How many voxels away a value has a say in whether a voxel is on an edge.

    The filter's Gaussian kernel ends where but `_SMOOTHING_ERROR` of it is left (Lindeberg's
    discrete kernel, as in ITK); two voxels are for the derivatives, and one for its zero.
    """
    from scipy.special import ive

    kernel = ive(np.arange(_WIDEST_KERNEL + 1), _SMOOTHING_MM2 / spacing_mm**2)
    within = kernel[0] + 2 * np.append(0, np.cumsum(kernel[1:]))
    return int(np.argmax(np.append(within, 1) >= 1 - _SMOOTHING_ERROR)) + 3


def _going_on_from(strong: NDArray[np.bool_], weak: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The weak edges that hang together with a strong one, over corners, too."""
    from scipy.ndimage import label

    pieces, count = label(weak, structure=np.ones((3, 3, 3)))
    kept = np.zeros(count + 1, dtype=bool)
    kept[pieces[strong]] = True
    kept[0] = False
    edges: NDArray[np.bool_] = kept[pieces]
    return edges


def find_edges_through(
    grey: torch.Tensor, spacing_mm: Sequence[float], point: Sequence[int]
) -> torch.Tensor:
    """Find the edges of a scan as `find_edges`, in the three planes through a voxel alone.

    It takes the memory of a slab of 24 mm, not of the whole volume. Weak edges that hang on a
    strong one only further than 12 mm from the plane are left out.

    Parameters
    ----------
    grey : Tensor, shape (I, J, K), in [0, 1]
    spacing_mm : sequence of three float
    point : sequence of three int
        The voxel, inside the volume.

    Returns
    -------
    Tensor, shape (I, J, K), bool
        False outside the planes.
    """
    edges = torch.zeros(grey.shape, dtype=torch.bool)
    for axis, (place, mm) in enumerate(zip(point, spacing_mm, strict=True)):
        around = math.ceil(_AROUND_MM / mm)
        start = max(place - around, 0)
        length = min(place + around + 1, grey.shape[axis]) - start
        slab = find_edges(grey.narrow(axis, start, length), spacing_mm)
        edges.select(axis, place).logical_or_(slab.select(axis, place - start))
    return edges


def draw_edges(edges: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """Draw the edges of one scan, shape (I, J, K), over the other, shape (3, I, J, K), uint8."""
    return torch.where(edges, rgb.new_tensor(EDGE_COLOUR).view(3, 1, 1, 1), rgb)


def difference(grey: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Subtract `other` from `grey`: mid-grey where both are alike. For scans of one modality.

    Parameters
    ----------
    grey, other : Tensor, shape (I, J, K), in [0, 1]

    Returns
    -------
    Tensor, shape (1, I, J, K), in [0, 1]
    """
    return (0.5 + (grey - other) / 2)[None]
