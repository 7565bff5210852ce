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
from nibabel.affines import voxel_sizes
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import ArrayLike

__all__ = ["AS_THEY_ARE", "PLANES", "SliceView", "slices_along"]

_DISPLAY_CODES: Final = "LPI"
"""Each axis runs the way a reader sees it: to the left, to posterior, to the feet."""

PLANES: Final = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Plane to the display axes of its slices, rows and columns."""


@dataclass(frozen=True)
class SliceView:
    """How the slices of a plane lie in a volume; no voxel is interpolated, and none is copied.

    Attributes
    ----------
    axes : tuple of int
        The voxel axes along slices, rows and columns.
    flips : tuple of bool
        Which of them run against the display.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def of(self, volume: torch.Tensor) -> torch.Tensor:
        """View a volume, shape (..., I, J, K), as (..., slices, rows, columns), not yet flipped.

        Writing to it writes to `volume`.
        """
        leading = volume.ndim - 3
        return volume.permute(*range(leading), *(leading + axis for axis in self.axes))

    def pixel_mm(self, affine_ras: ArrayLike) -> tuple[float, float]:
        """Distance of the rows and of the columns in a grid, in mm."""
        _, row, column = (float(voxel_sizes(np.asarray(affine_ras))[axis]) for axis in self.axes)
        return row, column

    def upright(self, pictures: torch.Tensor) -> torch.Tensor:
        """Flip rows and columns, of shape (..., rows, columns), to the display, or back again."""
        turned = [axis - 2 for axis, flip in enumerate(self.flips[1:]) if flip]
        return pictures.flip(turned) if turned else pictures

    def pictures(self, volume: torch.Tensor) -> torch.Tensor:
        """Give the slices as a reader sees them, in their order: (..., slices, rows, columns)."""
        slices = self.upright(self.of(volume))
        return slices.flip(-3) if self.flips[0] else slices


AS_THEY_ARE: Final = SliceView((0, 1, 2), (False, False, False))
"""Pictures that are slices already."""


def slices_along(affine_ras: ArrayLike, plane: str) -> SliceView:
    """Find the slices of a plane in a grid, in radiological display.

    Parameters
    ----------
    affine_ras : array, shape (4, 4)
        Voxel index to RAS millimetres. For an oblique grid each voxel axis counts as the
        anatomical axis nearest to it.
    plane : {"axial", "coronal", "sagittal"}
    """
    change = ornt_transform(io_orientation(affine_ras), axcodes2ornt(_DISPLAY_CODES))
    axis_of = np.argsort(change[:, 0])
    i, j, k = (int(axis_of[display]) for display in PLANES[plane])
    return SliceView((i, j, k), (change[i, 1] < 0, change[j, 1] < 0, change[k, 1] < 0))
