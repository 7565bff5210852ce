"""Bring a moving scan onto a fixed one, and say whether to trust it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.errors import GeometryError, UsageError
from refinefuse_med.grid import Grid
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.registration.align import Aligned, align, assess_pose
from refinefuse_med.registration.deformable import (
    DRIFT_MM,
    PLAUSIBLE_JACOBIAN,
    SAME_DRIFT_MM,
    Deformed,
    deform,
)
from refinefuse_med.registration.deformation import Deformation
from refinefuse_med.registration.pose import Matrix, mapped, rotation_degrees
from refinefuse_med.registration.resample import composite
from refinefuse_med.registration.sampling import Scan
from refinefuse_med.registration.verdict import NO_OVERLAP, Verdict, judge
from refinefuse_med.volume import Keys, get_meta, grid_of, modality_of, require_scalar

__all__ = ["RegistrationResult", "assess", "register"]

Start = Literal["headers", "search", "given"]


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """A transform, and how far to trust it.

    Attributes
    ----------
    method : {"none", "header", "rigid", "affine", "deformable", "given"}
        What was done; never ``auto``.
    verdict : {"ok", "suspect", "failed"}
    quality : dict of float
        ``mutual_information``
            Of the two scans under the transform, in nats.
        ``overlap``
            Part of the fixed patient inside moving's field of view, in [0, 1].
        ``translation_mm``
            How far the middle of the fixed patient is moved.
        ``rotation_degrees``
            In [0, 180].
        ``spread_mm``
            Estimated error: the median distance by which the result, perturbed and refined
            again, misses itself. Absent where the scans do not overlap.
        ``disagreement_mm``
            How far mutual information by itself would have moved the result from where edges
            hold it. Of rigid and affine alone.
        ``jacobian_min``, ``jacobian_max``
            Of deformable alone: least and largest change of volume over the whole deformation.
        ``displacement_mean_mm``, ``displacement_max_mm``
            How far the deformation moves the patient beyond the rigid pose.
        ``mutual_information_rigid``
            Without the deformation.
        ``control_spacing_mm``
            Distance of its control points.
    matrix_fixed_to_moving_lps : array, shape (4, 4), float64
        Maps LPS mm points of fixed to moving, as ITK transforms do; of a deformable registration
        the rigid part, which comes after the deformation.
    seconds : float
    warnings : tuple of str
    start : {"headers", "search", "given"}
        Where it came from, or was refined from: the headers' coordinates as they are, the search
        over all poses, or a transform that was handed in.
    deformation : Deformation, optional
        Of fixed points, before the matrix; of ``deformable`` alone.
    """

    method: str
    verdict: Verdict
    quality: dict[str, float]
    matrix_fixed_to_moving_lps: Matrix
    seconds: float
    warnings: tuple[str, ...] = field(default=())
    start: Start = "search"
    deformation: Deformation | None = field(default=None, repr=False)

    @property
    def fixed_to_moving(self) -> Matrix | sitk.Transform:
        """The whole transform, as `refinefuse_med.registration.resample_to` takes it."""
        if self.deformation is None:
            return self.matrix_fixed_to_moving_lps
        return composite(self.matrix_fixed_to_moving_lps, self.deformation.itk())

    def displacement(self, grid: Grid, k: int) -> NDArray[np.float64]:
        """From fixed to moving at the voxels of slice `k` of the fixed grid, (3, I, J), LPS mm."""
        index = np.stack(np.meshgrid(*map(np.arange, grid.shape[:2]), [k], indexing="ij"))
        points = mapped(grid.affine_lps, index.reshape(3, -1))
        places = points
        if self.deformation is not None:
            places = points + self.deformation.on_slices(grid, slice(k, k + 1)).reshape(3, -1)
        moved = mapped(self.matrix_fixed_to_moving_lps, places) - points
        return moved.reshape(3, *grid.shape[:2])

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``result.json``."""
        return {
            "method": self.method,
            "start": self.start,
            "verdict": self.verdict,
            "quality": dict(self.quality),
            "matrix_fixed_to_moving_lps": self.matrix_fixed_to_moving_lps.tolist(),
            "seconds": round(self.seconds, 3),
        }


def register(
    fixed: MetaTensor,
    moving: MetaTensor,
    config: RegistrationConfig | None = None,
    monitor: Monitor = SILENT,
    *,
    start_fixed_to_moving_lps: ArrayLike | None = None,
) -> RegistrationResult:
    """Find the transform that brings `moving` onto `fixed`.

    ``none`` takes the coordinates as they are. ``header`` does so too, but insists that
    both scans are not known to lie in different frames of reference. ``rigid`` searches
    all rotations and refines by mutual information; ``affine`` goes on to twelve degrees
    of freedom. ``deformable`` goes on from rigid to a smooth deformation, for bodies; where that
    brings nothing the result is rigid, and a warning says why. ``auto`` is ``header`` where both
    share a frame of reference, else ``rigid``.

    Parameters
    ----------
    fixed, moving : MetaTensor, shape (1, I, J, K)
        Any grids, as long as their axes are at right angles.
    config : RegistrationConfig, optional
        The same seed gives the same result, with any number of threads.
    monitor : Monitor
        Told of the stage ``register``; asked in every step of the optimiser.
    start_fixed_to_moving_lps : array, shape (4, 4), optional
        Where ``rigid`` (which ``auto`` then is) and ``affine`` start, and stay near, instead of
        searching everywhere.

    Raises
    ------
    InputError
        A scan is not finite, constant, of one slice, or has several channels.
    GeometryError
        A sheared grid; ``header`` for scans with different frames of reference; a given transform
        that is none, or mirrors.
    UsageError
        A start for ``header`` or ``none``.
    CancelledError
        The user asked to stop.
    """
    config = config or RegistrationConfig()
    started = time.perf_counter()
    _require_usable(fixed, moving)
    monitor.update("register", 0.0)
    frames = (
        get_meta(fixed, Keys.FRAME_OF_REFERENCE_UID),
        get_meta(moving, Keys.FRAME_OF_REFERENCE_UID),
    )
    start = (
        None if start_fixed_to_moving_lps is None else _require_matrix(start_fixed_to_moving_lps)
    )
    method, warnings = _resolve(config.method, *frames, is_started=start is not None)
    scans = Scan.of(fixed), Scan.of(moving)
    if method in ("none", "header"):
        as_is = _assessed(method, scans, np.eye(4), config, started, monitor)
        return replace(as_is, warnings=(*warnings, *as_is.warnings), start="headers")
    rng = np.random.default_rng(config.seed)
    # Poses are refined side by side; threads inside one matrix product would only spin.
    with threadpool_limits(limits=1, user_api="blas"):
        aligned = align(
            *scans,
            affine=method == "affine",
            rng=rng,
            threads=config.threads or os.cpu_count() or 1,
            monitor=monitor,
            start=start,
        )
        linear = "rigid" if method == "deformable" else method
        result = _judged(linear, aligned, scans[0], started, monitor, warnings)
        if method == "deformable" and aligned.measure.overlap >= NO_OVERLAP:
            drift = SAME_DRIFT_MM if modality_of(fixed) == modality_of(moving) else DRIFT_MM
            found = deform(
                *scans,
                result.matrix_fixed_to_moving_lps,
                grid_of(fixed),
                config.control_spacing_mm,
                rng,
                monitor,
            )
            result = _deformed(result, found, drift, started)
    return result if start is None else replace(result, start="given")


def assess(
    fixed: MetaTensor,
    moving: MetaTensor,
    matrix_fixed_to_moving_lps: ArrayLike,
    config: RegistrationConfig | None = None,
    monitor: Monitor = SILENT,
    *,
    method: str = "given",
) -> RegistrationResult:
    """Judge a transform that came from elsewhere: a header, a file, landmarks, a hand.

    It is not moved. Should the scans match better some way off, the verdict is ``suspect`` and
    says how far; ``failed`` is left to scans that do not overlap, since what was given may know
    better.

    Parameters
    ----------
    fixed, moving : MetaTensor, shape (1, I, J, K)
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        Maps LPS mm points of fixed to moving.
    config : RegistrationConfig, optional
        Its seed and threads.
    monitor : Monitor
    method : str
        What the result is to be called.

    Raises
    ------
    InputError, GeometryError, CancelledError
        As `register` does.
    """
    config = config or RegistrationConfig()
    started = time.perf_counter()
    _require_usable(fixed, moving)
    matrix = _require_matrix(matrix_fixed_to_moving_lps)
    scans = Scan.of(fixed), Scan.of(moving)
    return replace(_assessed(method, scans, matrix, config, started, monitor), start="given")


def _assessed(
    method: str,
    scans: tuple[Scan, Scan],
    matrix: Matrix,
    config: RegistrationConfig,
    started: float,
    monitor: Monitor,
) -> RegistrationResult:
    with threadpool_limits(limits=1, user_api="blas"):
        assessed = assess_pose(
            *scans,
            matrix,
            rng=np.random.default_rng(config.seed),
            threads=config.threads or os.cpu_count() or 1,
            monitor=monitor,
        )
    return _judged(method, assessed, scans[0], started, monitor)


def _require_usable(fixed: MetaTensor, moving: MetaTensor) -> None:
    for volume, name in ((fixed, "fixed"), (moving, "moving")):
        require_scalar(volume, name)
        grid_of(volume).require_orthogonal(name)


def _require_matrix(matrix: ArrayLike) -> Matrix:
    """A transform that was handed in, once it is known to be one."""
    found = np.asarray(matrix, dtype=np.float64)
    if found.shape != (4, 4) or not np.isfinite(found).all():
        raise GeometryError("the given transform is not a finite 4 x 4 matrix")
    if np.linalg.det(found[:3, :3]) < 1e-6:
        raise GeometryError(
            "the given transform mirrors or flattens", hint="check which transform was given"
        )
    return found


def _judged(
    method: str,
    aligned: Aligned,
    fixed: Scan,
    started: float,
    monitor: Monitor,
    warnings: tuple[str, ...] = (),
) -> RegistrationResult:
    verdict, doubts = judge(
        aligned.measure,
        aligned.spread_mm,
        aligned.disagreement_mm,
        given=method not in ("rigid", "affine"),
    )
    monitor.update("register", 1.0)
    return RegistrationResult(
        method,
        verdict,
        _quality(aligned, fixed),
        aligned.matrix_fixed_to_moving_lps,
        time.perf_counter() - started,
        (*warnings, *doubts),
    )


def _deformed(
    rigid: RegistrationResult, found: Deformed, drift_mm: float, started: float
) -> RegistrationResult:
    """The rigid result with its deformation, or as it is where that is not to be taken."""
    seconds = time.perf_counter() - started
    if objection := found.objection(drift_mm):
        note = f"no deformation was taken, since {objection}: the result is rigid"
        return replace(rigid, seconds=seconds, warnings=(*rigid.warnings, note))
    verdict, doubts = judge(found.measure, found.spread_mm)
    if rigid.verdict == "failed":
        doubts += ("the rigid registration that it starts from was judged failed",)
    if found.jacobian[0] < 1 / PLAUSIBLE_JACOBIAN or found.jacobian[1] > PLAUSIBLE_JACOBIAN:
        doubts += ("the deformation changes volumes more than tissue does",)
    if verdict == "ok" and doubts:
        verdict = "suspect"
    quality = {
        **rigid.quality,
        **found.measures(),
        "mutual_information": found.measure.value,
        "overlap": min(1.0, found.measure.overlap),
        "spread_mm": found.spread_mm,
    }
    return replace(
        rigid,
        method="deformable",
        verdict=verdict,
        quality=quality,
        seconds=seconds,
        warnings=doubts,
        deformation=found.deformation,
    )


def _resolve(
    method: str, fixed_frame: str | None, moving_frame: str | None, *, is_started: bool
) -> tuple[str, tuple[str, ...]]:
    """What `method` comes to for these frames of reference, and what to warn of."""
    if is_started:
        if method in ("none", "header"):
            raise UsageError(
                f"{method} takes the coordinates as they are, and has no start",
                hint="use rigid or affine",
            )
        return ("rigid" if method == "auto" else method), ()
    known = bool(fixed_frame and moving_frame)
    shared = known and fixed_frame == moving_frame
    if method == "auto":
        return ("header" if shared else "rigid"), ()
    if shared or method not in ("none", "header"):
        return method, ()
    if not known:
        return method, (
            "the frame of reference of at least one scan is not known: taken to be the same",
        )
    if method == "none":
        return method, ("the scans have different frames of reference, and were not registered",)
    raise GeometryError(
        "the scans have different frames of reference, so their headers do not relate them",
        hint="register them with rigid",
    )


def _quality(aligned: Aligned, fixed: Scan) -> dict[str, float]:
    matrix, measure = aligned.matrix_fixed_to_moving_lps, aligned.measure
    middle = fixed.foreground_lps.mean(axis=1)[:, None]
    quality = {
        "mutual_information": measure.value,
        "overlap": min(1.0, measure.overlap),  # the weights are summed in single precision
        "translation_mm": float(np.linalg.norm(mapped(matrix, middle) - middle)),
        "rotation_degrees": rotation_degrees(matrix),
    }
    if aligned.spread_mm is not None:
        quality["spread_mm"] = aligned.spread_mm
    if aligned.disagreement_mm is not None:
        quality["disagreement_mm"] = aligned.disagreement_mm
    return quality
