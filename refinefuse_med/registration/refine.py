"""Local refinement: a pyramid of L-BFGS runs on mutual information, once helped by edges."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from refinefuse_med.progress import Monitor
from refinefuse_med.registration.edges import Agreement, EdgeAgreement
from refinefuse_med.registration.metric import Measure, MutualInformation
from refinefuse_med.registration.pose import Matrix, Model, displacement_mm, rotation_degrees
from refinefuse_med.registration.sampling import Samples, Scan, draw_samples

__all__ = [
    "EDGE_LEVEL",
    "LEVELS",
    "Level",
    "Metric",
    "Refined",
    "distinct",
    "metric_at",
    "refine",
    "refine_all",
]


@dataclass(frozen=True)
class Level:
    """One level of the pyramid: voxel size (0: native), samples, and poses taken in.

    With `edges`, the agreement of edges counts beside mutual information.
    """

    voxel_mm: float
    samples: int
    poses: int
    edges: bool = False


EDGE_LEVEL = Level(4.0, 20_000, 4, edges=True)
LEVELS = (Level(8.0, 4_000, 16), EDGE_LEVEL, Level(2.0, 40_000, 2), Level(0, 100_000, 1))

SAME_MM = 2.0
"""Poses nearer than this are one optimum."""

TURNED_DEGREES = 75.0
TURNED_MERIT = 0.85
"""Headers are seldom wrong about up and left: a pose so far from them must be clearly better."""


@dataclass(frozen=True)
class Refined:
    """A refined pose, what the metric says of it, and its score: metric times overlap."""

    matrix: Matrix
    measure: Measure
    score: float


class Metric(Protocol):
    """What `refine` climbs."""

    samples: Samples

    def __call__(self, matrix: Matrix) -> Measure:
        """Measure the pose that maps offsets from the samples' centre to moving, LPS mm."""
        ...


def metric_at(fixed: Scan, moving: Scan, level: Level, rng: np.random.Generator) -> Metric:
    """The metric on one level."""
    samples = draw_samples(fixed, level.voxel_mm, level.samples, rng)
    information = MutualInformation(samples, moving.at(level.voxel_mm), moving.binning)
    if not level.edges:
        return information
    return Agreement(information, EdgeAgreement(fixed, moving, samples, level.voxel_mm))


def refine(metric: Metric, model: Model, best_overlap: float, monitor: Monitor) -> Refined:
    """Climb to the nearest maximum of the metric times overlap.

    The overlap counts as part of `best_overlap`, at most as 1, so that a pose whose
    samples are all inside is moved by the metric alone.
    """

    def cost(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        monitor.check()
        measure = metric(model.matrix(parameters))
        share = measure.overlap / best_overlap
        gradient = measure.gradient
        if share < 1:
            gradient = share * gradient + measure.overlap_gradient * measure.value / best_overlap
        return -measure.value * min(1.0, share), -model.pull_back(parameters, gradient)

    found = minimize(
        cost,
        np.zeros(model.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 60, "ftol": 1e-7, "gtol": 1e-6},
    )
    matrix = model.matrix(found.x)
    return Refined(matrix, metric(matrix), -float(found.fun))


def refine_all(
    metric: Metric,
    models: Sequence[Model],
    best_overlap: float,
    threads: int,
    monitor: Monitor,
) -> list[Refined]:
    """Refine from each model's start, in the order of `models`."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda model: refine(metric, model, best_overlap, monitor), models))


def distinct(found: Sequence[Refined], points: NDArray[np.float64]) -> list[Refined]:
    """The best first, without those that came to the same place as a better one."""

    def merit(refined: Refined) -> float:
        turned = rotation_degrees(refined.matrix) > TURNED_DEGREES
        return refined.score * (TURNED_MERIT if turned else 1.0)

    kept: list[Refined] = []
    for refined in sorted(found, key=merit, reverse=True):
        apart = (displacement_mm(refined.matrix, other.matrix, points) for other in kept)
        if all(distance > SAME_MM for distance in apart):
            kept.append(refined)
    return kept
