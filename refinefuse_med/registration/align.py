"""From two scans to a pose: global search, pyramid, and a measure of how firm the result is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refinefuse_med.progress import Monitor
from refinefuse_med.registration.metric import Measure
from refinefuse_med.registration.pose import (
    AffineModel,
    Matrix,
    Model,
    RigidModel,
    displacement_mm,
    mapped,
    nearest_rotation,
)
from refinefuse_med.registration.refine import (
    EDGE_LEVEL,
    LEVELS,
    Level,
    distinct,
    metric_at,
    refine,
    refine_all,
)
from refinefuse_med.registration.sampling import Scan
from refinefuse_med.registration.search import Candidates, search
from refinefuse_med.registration.verdict import NO_OVERLAP, SLIDE_MM, spread_mm

__all__ = ["Aligned", "align", "assess_pose"]

SPREAD_LEVEL = Level(4.0, 20_000, 1)


@dataclass(frozen=True, eq=False)
class Aligned:
    """A pose, found or given, and what was measured of it.

    Attributes
    ----------
    matrix_fixed_to_moving_lps : array, shape (4, 4)
    measure : Measure
        On the scans' own voxels.
    spread_mm : float, optional
        None where the scans do not overlap.
    disagreement_mm : float, optional
        How far mutual information by itself slides from where edges hold it; None for a pose
        that was given.
    """

    matrix_fixed_to_moving_lps: Matrix
    measure: Measure
    spread_mm: float | None
    disagreement_mm: float | None = None


def align(
    fixed: Scan,
    moving: Scan,
    *,
    affine: bool,
    rng: np.random.Generator,
    threads: int,
    monitor: Monitor,
    start: Matrix | None = None,
) -> Aligned:
    """Bring moving onto fixed: rigid, and affine from there where asked for.

    From anywhere, unless a `start` is given (fixed to moving, LPS mm): then from there alone; where
    rigid is wanted, from the nearest rigid pose that leaves the patient's middle where it is.
    """
    if start is None:
        found = search(fixed, moving, LEVELS[0].poses, rng, monitor)
    else:
        found = _given(fixed, moving, start, affine, rng)
    monitor.update("register", 0.25)
    poses = found.matrices
    for done, level in enumerate(LEVELS, start=1):
        metric = metric_at(fixed, moving, level, rng)
        radius, points = metric.samples.radius_mm, metric.samples.offsets_mm[:, ::10]
        models = [RigidModel(pose, radius) for pose in poses[: level.poses]]
        refined = refine_all(metric, models, found.best_overlap, threads, monitor)
        refined = distinct(refined, points)
        poses = [pose.matrix for pose in refined]
        if level.edges:
            agreed = refined
        monitor.update("register", 0.25 + 0.5 * done / len(LEVELS))
    best, on_voxels = refined[0].matrix, metric
    disagreement = min(displacement_mm(best, pose.matrix, points) for pose in agreed)
    firm_level = SPREAD_LEVEL
    affine_levels: tuple[Level, ...] = (SPREAD_LEVEL, LEVELS[-1])
    if disagreement > SLIDE_MM:
        best, firm_level, affine_levels = agreed[0].matrix, EDGE_LEVEL, (EDGE_LEVEL,)

    def model_at(start: Matrix) -> Model:
        return AffineModel(start, radius) if affine else RigidModel(start, radius)

    if affine:
        for level in affine_levels:
            metric = metric_at(fixed, moving, level, rng)
            best = refine(metric, model_at(best), found.best_overlap, monitor).matrix
    monitor.update("register", 0.85)
    metric = metric_at(fixed, moving, firm_level, rng)
    spread = spread_mm(metric, best, model_at, found.best_overlap, rng, threads, monitor)
    about_origin = np.eye(4)
    about_origin[:3, 3] = -metric.samples.centre_lps
    return Aligned(best @ about_origin, on_voxels(best), spread, disagreement)


def _given(
    fixed: Scan, moving: Scan, start: Matrix, affine: bool, rng: np.random.Generator
) -> Candidates:
    metric = metric_at(fixed, moving, LEVELS[0], rng)
    pose = start.copy()
    pose[:3, 3] = mapped(start, metric.samples.centre_lps[:, None])[:, 0]
    if not affine:
        pose[:3, :3] = nearest_rotation(start)
    return Candidates([pose], max(metric(pose).overlap, NO_OVERLAP))


def assess_pose(
    fixed: Scan,
    moving: Scan,
    matrix_fixed_to_moving_lps: Matrix,
    *,
    rng: np.random.Generator,
    threads: int,
    monitor: Monitor,
) -> Aligned:
    """Measure a pose that was given: what the scans share there, and whether it holds.

    Its spread is the median distance from it to where it comes to when perturbed and refined.
    """
    on_voxels = metric_at(fixed, moving, LEVELS[-1], rng)
    pose = matrix_fixed_to_moving_lps.copy()
    pose[:3, 3] = mapped(pose, on_voxels.samples.centre_lps[:, None])[:, 0]
    measure = on_voxels(pose)
    if measure.overlap < NO_OVERLAP:
        return Aligned(matrix_fixed_to_moving_lps, measure, None)
    monitor.update("register", 0.5)
    metric = metric_at(fixed, moving, EDGE_LEVEL, rng)

    def model_at(start: Matrix) -> Model:
        # Turns and shifts by the world's axes, whatever the pose itself stretches.
        return RigidModel(start, metric.samples.radius_mm)

    spread = spread_mm(metric, pose, model_at, measure.overlap, rng, threads, monitor)
    return Aligned(matrix_fixed_to_moving_lps, measure, spread)
