"""Free-form deformations: displacements in mm as cubic B-splines over a lattice.

Rueckert et al., IEEE Trans. Med. Imaging 18 (1999). The lattice runs along the voxel axes of the
fixed grid, so that on any grid along them a deformation is three small matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from refinefuse_med.errors import InputError
from refinefuse_med.grid import Grid
from refinefuse_med.registration.pose import Matrix, mapped

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["Deformation", "basis_at", "bending", "lattice_over"]

Floats = NDArray[np.float64]

_PROBES: Final = 6
"""Places along each side of a lattice cell at which folding is looked for."""

_INVERSE_STEPS: Final = 4
_INVERSE_ITERATIONS: Final = 50
_INVERSE_MM: Final = 0.01

BLOCK: Final = 1 << 16
"""Points at a time: each takes a kilobyte of weights."""

_EDGE_VOXELS: Final = 1.0
"""The domain goes this far beyond the outermost voxel centres."""


@dataclass(frozen=True, eq=False)
class Deformation:
    """A smooth displacement of points of the fixed scan, applied before any matrix.

    Attributes
    ----------
    coefficients : array, shape (3, A, B, C)
        Of the B-splines, LPS mm.
    lattice_lps : array, shape (4, 4)
        Index of a control point to LPS mm.
    """

    coefficients: Floats
    lattice_lps: Matrix

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of the control points along I, J, K of the fixed grid."""
        a, b, c = np.linalg.norm(self.lattice_lps[:3, :3], axis=0)
        return float(a), float(b), float(c)

    @cached_property
    def from_lps(self) -> Matrix:
        """LPS mm to index of a control point."""
        return np.asarray(np.linalg.inv(self.lattice_lps))

    def displacement(self, points_lps: Floats) -> Floats:
        """Displacement in LPS mm at points of shape (3, N); nought outside the lattice's domain."""
        flat = self.coefficients.reshape(3, -1)
        blocks = np.array_split(points_lps, points_lps.shape[1] // BLOCK + 1, axis=1)
        return np.concatenate([(basis_at(self, at) @ flat.T).T for at in blocks], axis=1)

    def on_slices(self, grid: Grid, slices: slice) -> Floats:
        """Displacement at the voxels of some slices along K of a grid along the lattice.

        Parameters
        ----------
        grid : Grid
            The one that the lattice was laid over.
        slices : slice
            Of K.

        Returns
        -------
        array, shape (3, I, J, K')
            LPS mm.
        """
        to_lattice = self.from_lps @ grid.affine_lps
        steps = np.diag(to_lattice[:3, :3])
        if not self.runs_along(grid):
            raise ValueError("the grid does not run along the lattice")
        i, j, k = (
            _weights(start + step * np.arange(count), size, _cubic)
            for start, step, count, size in zip(
                to_lattice[:3, 3], steps, grid.shape, self.coefficients.shape[1:], strict=True
            )
        )
        return _product(self.coefficients, i, j, k[slices])

    def jacobian_range(self) -> tuple[float, float]:
        """Least and largest ratio by which the deformation changes a small volume.

        Looked for at six places along each side of every lattice cell, over the whole domain.
        Nought or less means that it folds.
        """
        sizes = self.coefficients.shape[1:]
        at = [np.linspace(1, size - 2, (size - 3) * _PROBES + 1) for size in sizes]
        values = [_weights(x, size, _cubic) for x, size in zip(at, sizes, strict=True)]
        slopes = [_weights(x, size, _cubic_slope) for x, size in zip(at, sizes, strict=True)]
        low, high = np.inf, -np.inf
        for plane in range(len(at[2])):
            here = slice(plane, plane + 1)
            v, s = [*values[:2], values[2][here]], [*slopes[:2], slopes[2][here]]
            by_lattice = np.stack(
                [
                    _product(self.coefficients, s[0], v[1], v[2]),
                    _product(self.coefficients, v[0], s[1], v[2]),
                    _product(self.coefficients, v[0], v[1], s[2]),
                ]
            )
            gradient = np.einsum("axijk,al->ijkxl", by_lattice, self.from_lps[:3, :3])
            ratio = np.linalg.det(gradient + np.eye(3))
            low, high = min(low, float(ratio.min())), max(high, float(ratio.max()))
        return low, high

    def itk(self) -> sitk.BSplineTransform:
        """The same as an ITK transform."""
        import SimpleITK as sitk

        mesh = [size - 3 for size in self.coefficients.shape[1:]]
        transform = sitk.BSplineTransform(3, 3)
        transform.SetTransformDomainMeshSize(mesh)
        transform.SetTransformDomainOrigin(mapped(self.lattice_lps, np.ones((3, 1)))[:, 0].tolist())
        transform.SetTransformDomainPhysicalDimensions(
            [size * side for size, side in zip(mesh, self.spacing_mm, strict=True)]
        )
        direction = self.lattice_lps[:3, :3] / np.asarray(self.spacing_mm)
        transform.SetTransformDomainDirection(direction.ravel().tolist())
        # ITK counts the first axis fastest.
        transform.SetParameters(self.coefficients.transpose(0, 3, 2, 1).ravel().tolist())
        return transform

    @classmethod
    def from_itk(cls, transform: sitk.Transform) -> Deformation:
        """What `itk` made, or read from a file.

        Raises
        ------
        InputError
            Not a cubic B-spline in three dimensions.
        """
        import SimpleITK as sitk

        plain = transform.Downcast()
        if not isinstance(plain, sitk.BSplineTransform) or plain.GetOrder() != 3:
            raise InputError("is not a cubic B-spline")
        mesh = np.asarray(plain.GetTransformDomainMeshSize())
        sides = np.asarray(plain.GetTransformDomainPhysicalDimensions()) / mesh
        lattice = np.eye(4)
        lattice[:3, :3] = np.reshape(plain.GetTransformDomainDirection(), (3, 3)) * sides
        # The domain begins at control point 1.
        lattice[:3, 3] = plain.GetTransformDomainOrigin() - lattice[:3, :3].sum(axis=1)
        stored = np.reshape(plain.GetParameters(), (3, *(mesh[::-1] + 3)))
        return cls(np.ascontiguousarray(stored.transpose(0, 3, 2, 1)), lattice)

    def runs_along(self, grid: Grid) -> bool:
        """Whether a grid has the axes of the lattice, as that which it was laid over has."""
        turn = (self.from_lps @ grid.affine_lps)[:3, :3]
        return bool(np.allclose(turn, np.diag(np.diag(turn)), atol=1e-6))

    def inverse_itk(self) -> sitk.DisplacementFieldTransform:
        """The way back, as an ITK transform: a field over the domain, found by iteration.

        Sampled four times as densely as the control points; between, it is linear.
        """
        import SimpleITK as sitk

        shape = [(size - 3) * _INVERSE_STEPS + 1 for size in self.coefficients.shape[1:]]
        to_lps = self.lattice_lps @ np.diag([*[1 / _INVERSE_STEPS] * 3, 1.0])
        to_lps[:3, 3] = mapped(self.lattice_lps, np.ones((3, 1)))[:, 0]
        points = mapped(to_lps, np.indices(shape).reshape(3, -1))
        back = np.zeros(points.shape)
        for _ in range(_INVERSE_ITERATIONS):
            before, back = back, -self.displacement(points + back)
            if np.abs(back - before).max() < _INVERSE_MM:
                break
        field = back.reshape(3, *shape).transpose(3, 2, 1, 0)
        image = sitk.GetImageFromArray(np.ascontiguousarray(field), isVector=True)
        spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(to_lps[:3, 3].tolist())
        image.SetDirection((to_lps[:3, :3] / spacing).ravel().tolist())
        return sitk.DisplacementFieldTransform(image)

    def refined(self) -> Deformation:
        """The same deformation over a lattice twice as fine."""
        fine = self.coefficients
        for axis in (1, 2, 3):
            coarse = np.moveaxis(fine, axis, 0)
            finer = np.empty((2 * len(coarse) - 3, *coarse.shape[1:]))
            finer[1::2] = (coarse[:-2] + 6 * coarse[1:-1] + coarse[2:]) / 8
            finer[::2] = (coarse[:-1] + coarse[1:]) / 2
            fine = np.moveaxis(finer, 0, axis)
        half = np.diag([0.5, 0.5, 0.5, 1.0])
        half[:3, 3] = 0.5
        return Deformation(np.ascontiguousarray(fine), self.lattice_lps @ half)


def lattice_over(grid: Grid, spacing_mm: float, halvings: int = 0) -> Deformation:
    """Lay a lattice over a grid; its deformation moves nothing yet.

    Parameters
    ----------
    grid : Grid
    spacing_mm : float
        Distance of the control points, at most, once it was `refined` that often.
    halvings : int
        How often it will be refined.
    """
    voxel = np.asarray(grid.spacing_mm)
    extent = (np.asarray(grid.shape) - 1 + 2 * _EDGE_VOXELS) * voxel
    cells = np.maximum(np.ceil(extent / (spacing_mm * 2**halvings) - 1e-9), 1).astype(int)
    lattice = grid.affine_lps.copy()
    lattice[:3, :3] *= extent / cells / voxel
    # Control point 1 lies on the first corner of the domain.
    lattice[:3, 3] -= grid.affine_lps[:3, :3].sum(axis=1) * _EDGE_VOXELS
    lattice[:3, 3] -= lattice[:3, :3].sum(axis=1)
    return Deformation(np.zeros((3, *(cells + 3))), lattice)


def basis_at(deformation: Deformation, points_lps: Floats) -> sparse.csr_matrix:
    """Weights of the control points (A*B*C) at points (3, N), shape (N, A*B*C)."""
    shape = deformation.coefficients.shape[1:]
    at = mapped(deformation.from_lps, points_lps)
    last = np.asarray(shape)[:, None] - 2
    inside = ((at >= 1) & (at <= last)).all(axis=0)
    at = np.clip(at, 1, last)
    lowest = np.minimum(np.floor(at).astype(np.int32), last - 1)
    i, j, k = (_cubic(part) for part in at - lowest)
    weights = np.einsum("an,bn,cn->nabc", i * inside, j, k)
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int32)
    a, b, c = strides[:, None] * np.arange(4, dtype=np.int32)
    first = strides @ (lowest - 1)
    columns = first[:, None, None, None] + a[:, None, None] + b[:, None] + c
    ends = np.arange(at.shape[1] + 1) * 64
    return sparse.csr_matrix(
        (weights.ravel(), columns.ravel(), ends), shape=(at.shape[1], int(np.prod(shape)))
    )


def bending(coefficients: Floats, spacing_mm: tuple[float, float, float]) -> tuple[float, Floats]:
    """Mean squared bending of a deformation in 1 / mm^2, and its gradient by the coefficients.

    Second derivatives are taken as second differences of the coefficients.
    """
    energy, gradient = 0.0, np.zeros_like(coefficients)
    points = coefficients.size / 3
    for a, b in combinations_with_replacement(range(3), 2):
        scale = (1 if a == b else 2) / (spacing_mm[a] * spacing_mm[b]) ** 2 / points
        bent = np.diff(np.diff(coefficients, axis=a + 1), axis=b + 1)
        energy += scale * float((bent**2).sum())
        gradient += _undiff(_undiff(2 * scale * bent, b + 1), a + 1)
    return energy, gradient


def _undiff(values: Floats, axis: int) -> Floats:
    """The transpose of ``np.diff``."""
    border = [(1, 1) if number == axis else (0, 0) for number in range(values.ndim)]
    return -np.diff(np.pad(values, border), axis=axis)


def _cubic(t: Floats) -> Floats:
    """Weights of the four control points about t in [0, 1], shape (4, N)."""
    s = 1 - t
    return np.stack([s**3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * s**2 + 3 * s**3, t**3]) / 6


def _cubic_slope(t: Floats) -> Floats:
    s = 1 - t
    return np.stack([-(s**2), t * (3 * t - 4), s * (4 - 3 * s), t**2]) / 2


def _weights(at: Floats, size: int, blend: Callable[[Floats], Floats]) -> Floats:
    """Weights of all control points along one axis at lattice coordinates (N,), as (N, size)."""
    lowest = np.minimum(np.floor(at), size - 3).astype(np.intp)
    matrix = np.zeros((at.size, size))
    for step, weight in enumerate(blend(at - lowest)):
        matrix[np.arange(at.size), lowest - 1 + step] = weight
    return matrix


def _product(coefficients: Floats, i: Floats, j: Floats, k: Floats) -> Floats:
    """Sum over the control points, axis by axis: (3, A, B, C) -> (3, I, J, K)."""
    result: Floats = np.einsum("ia,jb,kc,xabc->xijk", i, j, k, coefficients, optimize=True)
    return result
