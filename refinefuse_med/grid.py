"""A voxel grid in space, RAS inside and LPS at the borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.errors import GeometryError

__all__ = ["LPS_FROM_RAS", "ORTHOGONALITY_TOLERANCE", "Affine", "Grid"]

Affine = NDArray[np.float64]
"""4 x 4, millimetres."""

ORTHOGONALITY_TOLERANCE: Final = 1e-3
"""Largest cosine between two voxel axes that still counts as orthogonal."""

LPS_FROM_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse: changes points between RAS and LPS millimetres."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid in space: shape (I, J, K) and RAS affine in millimetres."""

    shape: tuple[int, int, int]
    affine_ras: Affine

    @property
    def affine_lps(self) -> Affine:
        """Voxel index to LPS millimetres."""
        return LPS_FROM_RAS @ self.affine_ras

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along I, J, K."""
        i, j, k = np.linalg.norm(self.affine_ras[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def directions_ras(self) -> Affine:
        """Unit vectors of the I, J, K axes as columns, RAS."""
        directions: Affine = self.affine_ras[:3, :3] / np.asarray(self.spacing_mm)
        return directions

    @property
    def orientation(self) -> str:
        """Nearest anatomical axis codes, such as ``RAS`` or ``LPS``."""
        from nibabel.orientations import aff2axcodes

        return "".join(aff2axcodes(self.affine_ras))

    @property
    def center_ras(self) -> NDArray[np.float64]:
        """The middle of the grid, RAS mm."""
        middle = (np.asarray(self.shape) - 1) / 2
        return self.affine_ras[:3, :3] @ middle + self.affine_ras[:3, 3]

    def is_orthogonal(self) -> bool:
        """Whether the voxel axes stand at right angles, to `ORTHOGONALITY_TOLERANCE`."""
        directions = self.directions_ras
        off = np.abs(directions.T @ directions - np.eye(3)).max()
        return bool(off <= ORTHOGONALITY_TOLERANCE)

    def require_orthogonal(self, where: object = None) -> None:
        """Raise `GeometryError` where the axes are sheared."""
        if not self.is_orthogonal():
            raise GeometryError(
                "the voxel axes are not at right angles (sheared affine)",
                where=where,
                hint="resample the scan to an orthogonal grid first",
            )

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether every voxel of both grids lies at the same place, to `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        corners = np.vstack([corners, np.ones(corners.shape[1])])
        apart = (self.affine_ras - other.affine_ras) @ corners
        return bool(np.abs(apart[:3]).max() <= tolerance_mm)
