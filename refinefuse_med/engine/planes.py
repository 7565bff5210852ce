"""Anatomical planes: from a grid in any orientation to pictures in radiological display.

The network is trained on pictures as a reader sees them. Whatever the order and the sign
of a volume's axes, it gets the slices of a plane the same way up:

=========  ================================  ===================================
plane      slices                            rows down, columns to the right
=========  ================================  ===================================
axial      head to foot                      anterior to posterior, right to left
coronal    anterior to posterior             head to foot, right to left
sagittal   right to left                     head to foot, anterior to posterior
=========  ================================  ===================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import ArrayLike

__all__ = ["PLANES", "Reorientation", "slices_of", "to_display"]

_DISPLAY_CODES: Final = "LPI"
"""Each axis runs the way a reader sees it: to the left, to posterior, to the feet."""

PLANES: Final = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Plane to the display axes of its slices, rows and columns."""


@dataclass(frozen=True)
class Reorientation:
    """A change of order and sign of three voxel axes; no voxel is interpolated.

    Attributes
    ----------
    permutation : tuple of int
        For each new axis, the old axis that it is.
    flips : tuple of int
        The old axes that are turned round.
    """

    permutation: tuple[int, int, int]
    flips: tuple[int, ...]

    def apply(self, volume: torch.Tensor) -> torch.Tensor:
        """Old to new axes, shape (..., I, J, K)."""
        return _permute(volume.flip(self._last(self.flips)), self.permutation)

    def undo(self, volume: torch.Tensor) -> torch.Tensor:
        """New to old axes."""
        i, j, k = np.argsort(self.permutation).tolist()
        return _permute(volume, (i, j, k)).flip(self._last(self.flips)).contiguous()

    @staticmethod
    def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(axis - 3 for axis in axes)


def to_display(affine_ras: ArrayLike) -> Reorientation:
    """The reorientation from a grid to radiological display.

    Parameters
    ----------
    affine_ras : array, shape (4, 4)
        Voxel index to RAS millimetres. For an oblique grid each voxel axis counts as the
        anatomical axis nearest to it.
    """
    change = ornt_transform(io_orientation(affine_ras), axcodes2ornt(_DISPLAY_CODES))
    i, j, k = np.argsort(change[:, 0]).tolist()
    return Reorientation((i, j, k), tuple(np.flatnonzero(change[:, 1] < 0).tolist()))


def slices_of(volume: torch.Tensor, plane: str) -> torch.Tensor:
    """A view of a volume in display orientation as slices of a plane.

    Parameters
    ----------
    volume : Tensor, shape (..., L, P, I)
    plane : {"axial", "coronal", "sagittal"}

    Returns
    -------
    Tensor, shape (..., slices, rows, columns)
        Writing to it writes to `volume`.

    Examples
    --------
    >>> slices_of(torch.zeros(2, 10, 20, 30), "coronal").shape
    torch.Size([2, 20, 30, 10])
    """
    return _permute(volume, PLANES[plane])


def _permute(volume: torch.Tensor, axes: tuple[int, int, int]) -> torch.Tensor:
    leading = volume.ndim - 3
    return volume.permute(*range(leading), *(leading + axis for axis in axes))
