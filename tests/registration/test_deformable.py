"""Deformable registration: a known warp is found again, and none is made up."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import Monitor
from refinefuse_med.registration import deformable, register, resample_to
from refinefuse_med.registration.deformation import Deformation, lattice_over
from refinefuse_med.registration.metric import PointMeasure
from refinefuse_med.registration.sampling import Scan
from refinefuse_med.volume import grid_of, make_volume

from .conftest import Pair, pose

TRUTH = pose((6, -8, 15), (14, -9, 40))
CONFIG = RegistrationConfig(method="deformable", threads=1)


def error_mm(result, points, exact):
    matrix = result.matrix_fixed_to_moving_lps
    places = points + (0 if result.deformation is None else result.deformation.displacement(points))
    return float(np.linalg.norm(matrix[:3, :3] @ places + matrix[:3, 3:] - exact, axis=0).mean())


@pytest.fixture(scope="module")
def bent(pair: Pair):
    """A scan on an oblique, flipped, anisotropic grid, bent by a known warp; and what is known."""
    straight, moving = pair(TRUTH)
    lattice = lattice_over(grid_of(straight), 90)
    values = np.random.default_rng(3).normal(size=lattice.coefficients.shape) * 16
    warp = Deformation(values, lattice.lattice_lps)
    fixed, _ = resample_to(straight, grid_of(straight), warp.itk())
    points = Scan.of(fixed).foreground_lps[:, ::5]
    places = points + warp.displacement(points)
    return fixed, moving, points, TRUTH[:3, :3] @ places + TRUTH[:3, 3:]


def test_a_known_warp_between_modalities_is_found(bent):
    fixed, moving, points, exact = bent
    seen: list[str] = []
    monitor = Monitor(lambda stage, fraction: seen.append(f"{stage} {fraction:.2f}"))
    result = register(fixed, moving, CONFIG, monitor, start_fixed_to_moving_lps=TRUTH)
    assert result.method == "deformable"
    rigid = error_mm(
        register(
            fixed,
            moving,
            RegistrationConfig(method="rigid", threads=1),
            start_fixed_to_moving_lps=TRUTH,
        ),
        points,
        exact,
    )
    assert rigid > 6
    assert error_mm(result, points, exact) < 0.5 * rigid
    quality = result.quality
    assert quality["jacobian_min"] > 0
    assert quality["mutual_information"] > quality["mutual_information_rigid"]
    assert 4 < quality["displacement_mean_mm"] < quality["displacement_max_mm"]
    assert quality["control_spacing_mm"] <= 30
    assert {"register 0.00", "deform 0.00", "deform 1.00"} <= set(seen)
    # Its transform as ITK reads it is the same.
    matrix, place = result.matrix_fixed_to_moving_lps, points[:, 7]
    moved = place + result.deformation.displacement(place[:, None])[:, 0]
    np.testing.assert_allclose(
        result.fixed_to_moving.TransformPoint(place.tolist()),
        matrix[:3, :3] @ moved + matrix[:3, 3],
        atol=1e-6,
    )


def test_no_deformation_is_made_up_for_scans_that_are_straight(pair: Pair):
    result = register(*pair(TRUTH), CONFIG, start_fixed_to_moving_lps=TRUTH)
    assert result.method == "rigid"
    assert result.deformation is None
    assert "no deformation was taken" in result.warnings[-1]


def test_it_can_be_stopped(bent):
    fixed, moving, *_ = bent
    asked: list[str] = []
    monitor = Monitor(lambda stage, fraction: asked.append(stage), lambda: "deform" in asked)
    with pytest.raises(CancelledError):
        register(fixed, moving, CONFIG, monitor, start_fixed_to_moving_lps=TRUTH)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jacobian": (-0.1, 2.0)}, "folds"),
        ({"measure": PointMeasure(0.4, 1.0, np.zeros((3, 1)))}, "less in common"),
        ({"mean_mm": 2.0}, "own error"),
        ({}, None),
    ],
)
def test_what_is_worth_nothing_is_not_taken(changes, says, oblique):
    volume = make_volume(np.zeros((8, 8, 8)), oblique)
    known = {
        "deformation": lattice_over(grid_of(volume), 30),
        "rigid": PointMeasure(0.5, 1.0, np.zeros((3, 1))),
        "measure": PointMeasure(0.7, 1.0, np.zeros((3, 1))),
        "jacobian": (0.5, 1.5),
        "mean_mm": 8.0,
        "max_mm": 20.0,
        "spread_mm": 0.5,
    }
    objection = deformable.Deformed(**{**known, **changes}).objection(deformable.DRIFT_MM)
    assert objection is None if says is None else says in str(objection)


def test_what_would_fold_is_made_stiffer(bent, monkeypatch):
    fixed, moving, *_ = bent
    tried: list[float] = []

    def fit(fixed, moving, matrix, start, stiffness, rng, monitor, levels=3):
        tried.append(stiffness)
        values = np.random.default_rng(1).normal(size=start.coefficients.shape)
        size = 0.5 if stiffness > deformable.STIFFNESS else 400.0
        return [Deformation(values * size, start.lattice_lps)] * levels

    monkeypatch.setattr(deformable, "_fit", fit)
    scans = Scan.of(fixed), Scan.of(moving)
    found = deformable.deform(
        *scans, TRUTH, grid_of(fixed), 30, np.random.default_rng(0), Monitor()
    )
    first = deformable.STIFFNESS
    assert tried == [first, first * deformable.STIFFEN, first * deformable.STIFFEN]
    assert found.jacobian[0] > deformable.SMALLEST_JACOBIAN
