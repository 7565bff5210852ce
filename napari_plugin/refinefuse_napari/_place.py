"""Alignments that are not searched for: by hand, by landmarks, from a file, by the headers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from refinefuse_med.errors import InputError
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari import _texts as texts
from refinefuse_napari._aligning import outcome_of
from refinefuse_napari._bridge import WORLD_FROM_RAS, to_volume
from refinefuse_napari._outcome import Alignment, Outcome, Request

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from refinefuse_med.registration import Deformation

    Matrix = NDArray[np.float64]

__all__ = [
    "Nudge",
    "by_headers",
    "by_landmarks",
    "by_nudge",
    "from_file",
    "judge",
    "nudged",
    "save_transform",
    "world_to_lps",
]


BY_HAND: Final = "by hand"


@dataclass(frozen=True)
class Nudge:
    """How far the functional scan is moved by hand.

    Attributes
    ----------
    shift_mm : (float, float, float)
        To the patient's left, back and head.
    turn_degrees : (float, float, float)
        About the axes that lead there, in this order.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)


def nudged(matrix_fixed_to_moving_lps: ArrayLike, nudge: Nudge, centre_lps: ArrayLike) -> Matrix:
    """The transform after the moving scan was turned about a point and shifted, in fixed space."""
    from scipy.spatial.transform import Rotation

    centre = np.asarray(centre_lps, dtype=np.float64)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", nudge.turn_degrees, degrees=True).as_matrix()
    motion[:3, 3] = centre - motion[:3, :3] @ centre + nudge.shift_mm
    # What is now at x was before at motion⁻¹ x, and that is what the old transform knows.
    return np.asarray(np.asarray(matrix_fixed_to_moving_lps) @ np.linalg.inv(motion))


def by_nudge(base: Alignment, nudge: Nudge, monitor: Monitor = SILENT) -> Outcome:
    """Move the functional scan from where `base` has it; judged later, which takes longer."""
    from refinefuse_med.volume import grid_of

    centre = LPS_FROM_RAS[:3, :3] @ grid_of(base.pair.fixed).center_ras
    matrix = nudged(base.pair.registration.matrix_fixed_to_moving_lps, nudge, centre)
    return _place(base.request, matrix, BY_HAND, monitor, volumes=base, base=base, judged=False)


def by_headers(request: Request, known: Alignment | None, monitor: Monitor = SILENT) -> Outcome:
    """Take both scans as their headers place them."""
    return _place(request, np.eye(4), "by headers", monitor, volumes=known)


def from_file(
    request: Request, known: Alignment | None, path: Path, monitor: Monitor = SILENT
) -> Outcome:
    """Take a transform from an ITK file, deformed or not; it maps points of fixed to moving.

    Raises
    ------
    InputError
        No such transform, or a deformation that was laid over another scan.
    """
    from refinefuse_med.io import read_deformed
    from refinefuse_med.registration import Deformation

    matrix, before = read_deformed(path)
    deformation = None
    if before is not None:
        try:
            deformation = Deformation.from_itk(before)
        except InputError as error:
            raise InputError(error.what, where=path, hint=texts.NO_SPLINE) from error
    return _place(request, matrix, "from a file", monitor, volumes=known, deformation=deformation)


def by_landmarks(
    request: Request,
    known: Alignment | None,
    fixed_world: ArrayLike,
    moving_world: ArrayLike,
    monitor: Monitor = SILENT,
) -> Outcome:
    """Align by points, in napari's world, that mark the same places in the same order.

    Raises
    ------
    InputError
        The numbers differ, there are fewer than three, or they lie in a line.
    """
    from refinefuse_med.registration import fit_landmarks

    fit = fit_landmarks(world_to_lps(fixed_world), world_to_lps(moving_world))
    outcome = _place(
        request, fit.matrix_fixed_to_moving_lps, "by landmarks", monitor, volumes=known
    )
    error = texts.LANDMARK_ERROR.format(mean=fit.fre_mm, most=fit.residuals_mm.max())
    return replace(outcome, summary=f"{outcome.summary}; {error}")


def save_transform(alignment: Alignment, path: Path, monitor: Monitor = SILENT) -> Outcome:
    """Write the alignment as an ITK transform."""
    from refinefuse_med.io import write_transform
    from refinefuse_med.volume import grid_of

    monitor.update("writing", 0.0)
    centre = LPS_FROM_RAS[:3, :3] @ grid_of(alignment.pair.fixed).center_ras
    registration = alignment.pair.registration
    deformation = registration.deformation
    written = write_transform(
        registration.matrix_fixed_to_moving_lps,
        path,
        center_lps=centre,
        before=None if deformation is None else deformation.itk(),
    )
    return Outcome(f"written to {written}")


def world_to_lps(points: ArrayLike) -> Matrix:
    """Points of napari's world, shape (N, 3), as LPS mm."""
    change = LPS_FROM_RAS[:3, :3] @ WORLD_FROM_RAS[:3, :3]
    return np.asarray(np.asarray(points, dtype=np.float64) @ change.T)


def judge(alignment: Alignment, monitor: Monitor = SILENT) -> Outcome:
    """Judge an alignment that was shown before it was judged."""
    matrix = alignment.pair.registration.matrix_fixed_to_moving_lps
    return _place(
        alignment.request, matrix, BY_HAND, monitor, volumes=alignment, base=alignment.base
    )


def _place(
    request: Request,
    matrix: Matrix,
    method: str,
    monitor: Monitor,
    *,
    volumes: Alignment | None,
    base: Alignment | None = None,
    judged: bool = True,
    deformation: Deformation | None = None,
) -> Outcome:
    from refinefuse_med.pipeline import register_pair
    from refinefuse_med.registration import RegistrationResult, assess
    from refinefuse_med.volume import grid_of

    monitor.update("resample", 0.0)
    fixed = volumes.pair.fixed if volumes else to_volume(request.anatomical, monitor)
    moving = volumes.moving if volumes else to_volume(request.functional, monitor)
    if deformation is not None and not deformation.runs_along(grid_of(fixed)):
        raise InputError("the deformation is of another scan", hint=texts.NO_SPLINE)
    config = request.config.registration
    if judged:
        registration = assess(fixed, moving, matrix, config, monitor, method=method)
    else:
        registration = RegistrationResult(
            method, "suspect", {}, matrix, 0.0, (texts.NOT_JUDGED,), start="given"
        )
    if deformation is not None:
        warnings = (*registration.warnings, texts.RIGID_PART_JUDGED)
        registration = replace(registration, deformation=deformation, warnings=warnings)
    pair = register_pair(fixed, moving, config, monitor, registration)
    return outcome_of(Alignment(request, moving, pair, given=True, base=base, judged=judged))
