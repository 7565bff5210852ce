"""Poses and how they are parameterised: matrices, rotations, rigid and affine models.

Everything in this package is in LPS millimetres, and a matrix maps points of fixed to
moving, as ITK transforms do. Points are arrays of shape (3, N).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

__all__ = [
    "AffineModel",
    "Matrix",
    "Model",
    "RigidModel",
    "cube_rotations",
    "displacement_mm",
    "mapped",
    "nearest_rotation",
    "rotation_degrees",
]

Matrix = NDArray[np.float64]


def mapped(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a (4, 4) matrix to points of shape (3, N).

    Written out: as a matrix product this thin costs several times more.
    """
    x, y, z = points
    return np.stack([a * x + b * y + c * z + shift for a, b, c, shift in matrix[:3]])


def displacement_mm(a: Matrix, b: Matrix, points: NDArray[np.float64]) -> float:
    """Mean distance in mm between where two matrices bring the same points, shape (3, N)."""
    return float(np.linalg.norm(mapped(a - b, points), axis=0).mean())


def rotation_degrees(matrix: Matrix) -> float:
    """Angle of the rotation nearest to the linear part of a (4, 4) matrix, in [0, 180]."""
    return float(np.degrees(Rotation.from_matrix(nearest_rotation(matrix)).magnitude()))


def nearest_rotation(matrix: Matrix) -> NDArray[np.float64]:
    """Rotation (3, 3) nearest to the linear part of a (4, 4) matrix, in the least squares."""
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    u[:, 2] *= np.linalg.det(u @ vt)
    return np.asarray(u @ vt)


def cube_rotations() -> NDArray[np.float64]:
    """The 24 rotations of a cube onto itself, shape (24, 3, 3), the identity first."""
    turns = [
        np.eye(3)[list(order)] * signs
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return np.array([turn for turn in turns if np.linalg.det(turn) > 0])


class Model(Protocol):
    """A family of matrices about a start, smooth in its parameters.

    Parameters are scaled so that one unit moves the samples by about a millimetre, and
    zero is the start.
    """

    size: int

    def matrix(self, parameters: NDArray[np.float64]) -> Matrix:
        """The (4, 4) matrix of these parameters."""

    def pull_back(
        self, parameters: NDArray[np.float64], gradient: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Gradient by the (3, 4) matrix entries -> gradient by the parameters."""


@dataclass(frozen=True)
class RigidModel:
    """Rotation vector and translation in mm, applied after `start`, about `pivot`.

    Parameters
    ----------
    start : array, shape (4, 4)
    radius_mm : float
        Typical distance of the samples from the origin, scales the rotation.
    """

    start: Matrix
    radius_mm: float
    size = 6

    def matrix(self, parameters: NDArray[np.float64]) -> Matrix:
        """The (4, 4) matrix: ``start`` with its rotation turned and its translation moved."""
        matrix = self.start.copy()
        turn = Rotation.from_rotvec(parameters[:3] / self.radius_mm).as_matrix()
        matrix[:3, :3] = turn @ self.start[:3, :3]
        matrix[:3, 3] += parameters[3:]
        return matrix

    def pull_back(
        self, parameters: NDArray[np.float64], gradient: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Chain rule through the exponential map."""
        linear = gradient[:, :3] @ self.start[:3, :3].T
        turns = _rotation_jacobian(parameters[:3] / self.radius_mm)
        by_rotation = np.einsum("aij,ij->a", turns, linear) / self.radius_mm
        return np.concatenate([by_rotation, gradient[:, 3]])


@dataclass(frozen=True)
class AffineModel:
    """All twelve entries of the matrix, about `start`; parameters in mm as in `RigidModel`."""

    start: Matrix
    radius_mm: float
    size = 12

    def matrix(self, parameters: NDArray[np.float64]) -> Matrix:
        """The (4, 4) matrix: ``start`` plus the scaled parameters."""
        matrix = self.start.copy()
        matrix[:3, :3] += parameters[:9].reshape(3, 3) / self.radius_mm
        matrix[:3, 3] += parameters[9:]
        return matrix

    def pull_back(
        self, parameters: NDArray[np.float64], gradient: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scale; the map is linear."""
        return np.concatenate([gradient[:, :3].ravel() / self.radius_mm, gradient[:, 3]])


def _cross(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _rotation_jacobian(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """D R / d vector, shape (3, 3, 3): Gallego and Yezzi, J. Math. Imaging Vis. 51 (2015)."""
    square = float(vector @ vector)
    if square < 1e-16:
        return np.array([_cross(axis) for axis in np.eye(3)])
    turn = Rotation.from_rotvec(vector).as_matrix()
    residue = np.eye(3) - turn
    return np.array(
        [
            (vector[a] * _cross(vector) + _cross(np.cross(vector, residue[:, a]))) @ turn / square
            for a in range(3)
        ]
    )
