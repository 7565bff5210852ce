"""Whether a registration can be trusted.

A right pose is where many ways lead: moved a little and refined again, it comes back. The
distance by which it does not is an estimate of its error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from refinefuse_med.progress import Monitor
from refinefuse_med.registration.metric import Measure, PointMeasure
from refinefuse_med.registration.pose import Matrix, Model, displacement_mm
from refinefuse_med.registration.refine import Metric, refine_all

__all__ = ["Verdict", "judge", "spread_mm"]

Verdict = Literal["ok", "suspect", "failed"]

OK_SPREAD_MM = 1.5
"""Of 86 results on simulated heads that were wrong by more than 5 mm, none stayed below it."""

FAILED_SPREAD_MM = 3.0
"""Of 192 right ones, 7 went beyond it, all drowned in noise (`benchmarks/registration_verdict`)."""

WEAK_INFORMATION = 0.25
"""Nats. Scans of one patient share more: 0.35 and up for a thigh, 0.9 for heads; those of
two patients 0.17 to 0.31 at the pose that flatters them most."""

NO_OVERLAP = 0.02
SMALL_OVERLAP = 0.25
"""Of the fixed patient inside moving's field of view."""

SLIDE_MM = 6.0
"""Mutual information that moves further than this from where edges agree too has slid along a
body that changed its shape: the pose on which both agree is then kept."""

PERTURBATIONS = 4
PERTURBATION_DEGREES = 6.0
PERTURBATION_MM = 6.0


def spread_mm(
    metric: Metric,
    matrix: Matrix,
    model_at: Callable[[Matrix], Model],
    best_overlap: float,
    rng: np.random.Generator,
    threads: int,
    monitor: Monitor,
) -> float:
    """Median distance in mm between a pose and where it comes back to when perturbed."""
    models = []
    for _ in range(PERTURBATIONS):
        axis, shift = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        moved = matrix.copy()
        turn = Rotation.from_rotvec(axis * np.radians(PERTURBATION_DEGREES)).as_matrix()
        moved[:3, :3] = turn @ matrix[:3, :3]
        moved[:3, 3] += shift * PERTURBATION_MM
        models.append(model_at(moved))
    returned = refine_all(metric, models, best_overlap, threads, monitor)
    points = metric.samples.offsets_mm[:, ::10]
    return float(np.median([displacement_mm(r.matrix, matrix, points) for r in returned]))


def judge(
    measure: Measure | PointMeasure,
    spread: float | None,
    disagreement: float | None = None,
    *,
    given: bool = False,
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a pose, and what to warn of.

    `spread` and `disagreement` are those of `Aligned`. A pose that was `given`, not found, may
    know better than mutual information: that it does not hold makes it suspect, not failed.
    """
    if measure.overlap < NO_OVERLAP:
        return "failed", ("the scans do not overlap",)
    doubts: list[str] = []
    failed = spread is not None and spread > FAILED_SPREAD_MM and not given
    if spread is not None and spread > OK_SPREAD_MM:
        doubts.append(
            f"the scans match better some {spread:.1f} mm from where they were put: look at the"
            " result"
            if given
            else f"the registration may be off by some {spread:.1f} mm: look at the result"
        )
    if disagreement is not None and disagreement > SLIDE_MM:
        doubts.append(
            f"brightness and edges disagree by {disagreement:.0f} mm: the body may have changed"
            " its shape between the scans, which a rigid registration cannot follow"
        )
    if measure.value < WEAK_INFORMATION:
        doubts.append(
            f"the scans have little in common (mutual information {measure.value:.2f} nats):"
            " are they of one patient, and registered?"
        )
    if measure.overlap < SMALL_OVERLAP:
        doubts.append(f"the moving scan covers only {measure.overlap:.0%} of the fixed patient")
    return ("failed" if failed else "suspect" if doubts else "ok"), tuple(doubts)
