"""Rigid registration by points that a reader has set in both scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from refinefuse_med.errors import InputError
from refinefuse_med.registration.pose import Matrix

__all__ = ["LandmarkFit", "fit_landmarks"]

_FEWEST: Final = 3

_IN_LINE: Final = 0.05
"""Points whose breadth is less than this part of their length do not fix the turn about it."""


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """A rigid transform through landmarks.

    Attributes
    ----------
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        Maps LPS mm points of fixed to moving, as ITK transforms do.
    residuals_mm : array, shape (N,)
        How far each landmark of fixed is brought from its partner.
    """

    matrix_fixed_to_moving_lps: Matrix
    residuals_mm: NDArray[np.float64]

    @property
    def fre_mm(self) -> float:
        """Fiducial registration error: the root mean square of the residuals."""
        return float(np.sqrt((self.residuals_mm**2).mean()))


def fit_landmarks(fixed_lps: ArrayLike, moving_lps: ArrayLike) -> LandmarkFit:
    """Find the rigid transform that brings landmarks of fixed nearest to those of moving.

    Least squares without scaling: Kabsch, Acta Cryst. A32 (1976); the error's name and meaning
    are those of Fitzpatrick, West and Maurer, IEEE Trans. Med. Imaging 17 (1998).

    Parameters
    ----------
    fixed_lps, moving_lps : array, shape (N, 3)
        LPS mm; the n-th of one is the n-th of the other. At least three, not in a line.

    Raises
    ------
    InputError
        Too few, of different number, not finite, or in a line.

    Examples
    --------
    >>> points = np.array([[0, 0, 0], [50, 0, 0], [0, 40, 0], [0, 0, 30]])
    >>> fit = fit_landmarks(points, points + [1, 2, 3])
    >>> np.round(fit.matrix_fixed_to_moving_lps[:3, 3], 6).tolist(), round(fit.fre_mm, 6)
    ([1.0, 2.0, 3.0], 0.0)
    """
    fixed, moving = (np.asarray(points, dtype=np.float64) for points in (fixed_lps, moving_lps))
    if fixed.shape != moving.shape or fixed.ndim != 2 or fixed.shape[1] != 3:
        raise InputError(f"landmarks of shape {fixed.shape} and {moving.shape} do not pair up")
    if len(fixed) < _FEWEST:
        raise InputError(
            f"{len(fixed)} landmark pairs are too few", hint=f"set at least {_FEWEST} in both scans"
        )
    if not (np.isfinite(fixed).all() and np.isfinite(moving).all()):
        raise InputError("a landmark is not at a finite place")
    centres = fixed.mean(axis=0), moving.mean(axis=0)
    offsets = fixed - centres[0], moving - centres[1]
    for points in offsets:
        length, breadth, _ = np.linalg.svd(points, compute_uv=False)
        if breadth <= _IN_LINE * length:
            raise InputError(
                "the landmarks lie in a line, which does not fix the rotation about it",
                hint="add one to the side",
            )
    turn, _ = Rotation.align_vectors(offsets[1], offsets[0])
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix()
    matrix[:3, 3] = centres[1] - matrix[:3, :3] @ centres[0]
    apart = fixed @ matrix[:3, :3].T + matrix[:3, 3] - moving
    return LandmarkFit(matrix, np.asarray(np.linalg.norm(apart, axis=1)))
