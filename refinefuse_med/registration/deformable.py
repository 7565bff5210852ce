"""Deformable registration: a free-form deformation on mutual information, from a rigid pose.

For bodies that breathe, fill and bend between two scans. Mutual information is that of `metric`;
what it leaves open is settled by the bending energy of the deformation. Between modalities it
drifts: scans in exact register are moved too. So a deformation that does not go well beyond that
is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from refinefuse_med.grid import Grid
from refinefuse_med.progress import Monitor
from refinefuse_med.registration.deformation import (
    Deformation,
    basis_at,
    bending,
    lattice_over,
)
from refinefuse_med.registration.metric import MutualInformation, PointMeasure
from refinefuse_med.registration.pose import Matrix, mapped
from refinefuse_med.registration.sampling import Scan, draw_samples

__all__ = ["Deformed", "deform"]

LEVELS: Final = ((8.0, 30_000), (4.0, 60_000), (4.0, 60_000))
"""Voxel size in mm, and samples; the lattice is twice as fine on each as on the one before."""

COARSE: Final = 2
"""Levels that the deformation is found again on, to see whether it holds."""

STIFFNESS: Final = 1000.0
"""Nats that a mean squared bending of 1 / mm^2 costs."""

DAMPING: Final = 1e-5
"""Nats that a mean squared displacement of 1 mm^2 costs: holds what no sample sees."""

STRETCH: Final = 5.0
"""Nats that a stretch of the whole patient costs, squared: tissue does not, but mutual information
between modalities gains by it."""

ITERATIONS: Final = 40
STIFFEN: Final = 4.0
TRIES: Final = 3
SMALLEST_JACOBIAN: Final = 0.1
"""Below it the deformation is found anew, stiffer; it folds at 0."""

DRIFT_MM: Final = 4.5
SAME_DRIFT_MM: Final = 0.5
"""Mean displacement that a deformation has to exceed: between modalities, and within one. Heads in
exact register are moved by 2.5 mm (CT), 0.6 (PET), and by 0.04 to themselves
(``benchmarks/deformable.py``)."""

PLAUSIBLE_JACOBIAN: Final = 4.0
"""Change of volume, or its inverse, beyond which a deformation is hardly one of tissue."""

CHECK: Final = (4.0, 60_000)
PERTURBATION_DEGREES: Final = 3.0
PERTURBATION_MM: Final = 4.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Deformed:
    """A deformation, and what was measured of it.

    Attributes
    ----------
    deformation : Deformation
        Of fixed points, before the rigid matrix.
    rigid, measure : PointMeasure
        Without it and with it, at samples that it was not fitted to.
    jacobian : (float, float)
        Least and largest change of volume.
    mean_mm, max_mm : float
        Displacement in the patient, beyond the rigid pose.
    spread_mm : float
        How far points come apart when it is found again from another pose and other samples.
    """

    deformation: Deformation
    rigid: PointMeasure
    measure: PointMeasure
    jacobian: tuple[float, float]
    mean_mm: float
    max_mm: float
    spread_mm: float

    def objection(self, drift_mm: float) -> str | None:
        """Why it is not to be taken, or None; `drift_mm` is what scans in register are moved by."""
        if self.jacobian[0] <= 0:
            return "it folds the image"
        if self.measure.value <= self.rigid.value:
            return "the scans have less in common with it than without"
        if self.mean_mm < drift_mm:
            return (
                f"it moves the patient by {self.mean_mm:.1f} mm on the average, which is within"
                " its own error"
            )
        return None

    def measures(self) -> dict[str, float]:
        """What `RegistrationResult.quality` holds of it beside what it does of rigid ones."""
        return {
            "mutual_information_rigid": self.rigid.value,
            "jacobian_min": self.jacobian[0],
            "jacobian_max": self.jacobian[1],
            "displacement_mean_mm": self.mean_mm,
            "displacement_max_mm": self.max_mm,
            "control_spacing_mm": max(self.deformation.spacing_mm),
        }


def deform(
    fixed: Scan,
    moving: Scan,
    matrix_fixed_to_moving_lps: Matrix,
    grid: Grid,
    spacing_mm: float,
    rng: np.random.Generator,
    monitor: Monitor,
) -> Deformed:
    """Find a deformation of fixed points that, with the matrix after it, brings them to moving.

    Parameters
    ----------
    fixed, moving : Scan
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        The rigid pose, LPS mm.
    grid : Grid
        Of fixed.
    spacing_mm : float
        Of the control points.
    rng : numpy.random.Generator
    monitor : Monitor
        Told of the stage ``deform``.
    """
    matrix = matrix_fixed_to_moving_lps
    monitor.update("deform", 0.0)
    lattice = lattice_over(grid, spacing_mm, halvings=len(LEVELS) - 1)
    stiffness = STIFFNESS
    for _ in range(TRIES):
        steps = _fit(fixed, moving, matrix, lattice, stiffness, rng, monitor)
        found, coarse = steps[-1], steps[COARSE - 1]
        jacobian = found.jacobian_range()
        if jacobian[0] >= SMALLEST_JACOBIAN:
            break
        stiffness *= STIFFEN
    monitor.update("deform", 0.7)
    samples = draw_samples(fixed, *CHECK, rng)
    metric = MutualInformation(samples, moving.at(CHECK[0]), moving.binning)
    points = samples.offsets_mm + samples.centre_lps[:, None]
    patient = fixed.foreground_lps
    moved = np.linalg.norm(found.displacement(patient), axis=0)
    turned = matrix @ _perturbation(samples.centre_lps, rng)
    again = _fit(fixed, moving, turned, lattice, stiffness, rng, monitor, COARSE)[-1]
    apart = mapped(turned, patient + again.displacement(patient)) - mapped(
        matrix, patient + coarse.displacement(patient)
    )
    monitor.update("deform", 1.0)
    return Deformed(
        found,
        metric.at_points(mapped(matrix, points)),
        metric.at_points(mapped(matrix, points + found.displacement(points))),
        jacobian,
        float(moved.mean()),
        float(moved.max()),
        float(np.linalg.norm(apart, axis=0).mean()),
    )


def _fit(
    fixed: Scan,
    moving: Scan,
    matrix: Matrix,
    start: Deformation,
    stiffness: float,
    rng: np.random.Generator,
    monitor: Monitor,
    levels: int = len(LEVELS),
) -> list[Deformation]:
    """The deformation found on each level."""
    found: list[Deformation] = []
    for done, (voxel_mm, count) in enumerate(LEVELS[:levels]):
        if levels == len(LEVELS):
            monitor.update("deform", 0.7 * done / levels)
        start = found[-1].refined() if found else start
        samples = draw_samples(fixed, voxel_mm, count, rng)
        metric = MutualInformation(samples, moving.at(voxel_mm), moving.binning)
        points = samples.offsets_mm + samples.centre_lps[:, None]
        found.append(_climb(metric, matrix, points, start, stiffness, monitor))
    return found


def _climb(
    metric: MutualInformation,
    matrix: Matrix,
    points: Floats,
    start: Deformation,
    stiffness: float,
    monitor: Monitor,
) -> Deformation:
    shape = start.coefficients.shape
    basis = basis_at(start, points)
    back = basis.T.tocsr()
    arms = points - points.mean(axis=1)[:, None]
    # The linear map nearest to the displacement of the samples, by the coefficients.
    slopes = np.linalg.solve(arms @ arms.T, (back @ arms.T).T)

    def cost(flat: Floats) -> tuple[float, Floats]:
        monitor.check()
        coefficients = flat.reshape(shape)
        moved = points + (basis @ coefficients.reshape(3, -1).T).T
        found = metric.at_points(mapped(matrix, moved))
        pull = (back @ (matrix[:3, :3].T @ found.gradient).T).T.reshape(shape)
        energy, bent = bending(coefficients, start.spacing_mm)
        linear = slopes @ coefficients.reshape(3, -1).T
        stretch = (linear + linear.T) / 2
        gradient = stiffness * bent - pull + 2 * DAMPING / flat.size * coefficients
        gradient += (2 * STRETCH * stretch @ slopes).reshape(shape)
        held = STRETCH * float((stretch**2).sum()) + DAMPING * float((flat**2).mean())
        return stiffness * energy - found.value + held, gradient.ravel()

    best = minimize(
        cost,
        start.coefficients.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS, "ftol": 1e-6},
    )
    return Deformation(best.x.reshape(shape), start.lattice_lps)


def _perturbation(centre_lps: Floats, rng: np.random.Generator) -> Matrix:
    axis, shift = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    change = np.eye(4)
    change[:3, :3] = Rotation.from_rotvec(axis * np.radians(PERTURBATION_DEGREES)).as_matrix()
    change[:3, 3] = centre_lps - change[:3, :3] @ centre_lps + shift * PERTURBATION_MM
    return change
