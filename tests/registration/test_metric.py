from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.registration.metric import MutualInformation
from refinefuse_med.registration.pose import AffineModel, RigidModel, cube_rotations
from refinefuse_med.registration.sampling import Scan, draw_samples, interpolate
from refinefuse_med.volume import make_volume

from .conftest import Pair, pose


@pytest.mark.parametrize("model_type", [RigidModel, AffineModel])
@pytest.mark.parametrize("shift", [(0, 0, 0), (60, 10, -30)], ids=["inside", "half_outside"])
def test_the_gradient_is_that_of_the_value(pair: Pair, model_type, shift):
    fixed, moving = (Scan.of(volume) for volume in pair(pose((9, -7, 12), (5, 3, -4))))
    samples = draw_samples(fixed, 4.0, 5000, np.random.default_rng(0))
    metric = MutualInformation(samples, moving.at(4.0), moving.binning)
    model = model_type(pose((5, 5, 5), shift), samples.radius_mm)
    at = np.random.default_rng(1).normal(size=model.size)
    measure = metric(model.matrix(at))
    for exact, name in ((measure.gradient, "value"), (measure.overlap_gradient, "overlap")):
        step = 1e-2
        numeric = [
            (
                getattr(metric(model.matrix(at + unit)), name)
                - getattr(metric(model.matrix(at - unit)), name)
            )
            / (2 * step)
            for unit in np.eye(model.size) * step
        ]
        pulled = model.pull_back(at, exact)
        assert np.abs(pulled - numeric).max() < 0.05 * np.abs(pulled).max() + 1e-5


def test_the_gradient_by_points_is_that_of_the_value_and_one_pose_measures_alike(pair: Pair):
    fixed, moving = (Scan.of(volume) for volume in pair(pose((9, -7, 12), (5, 3, -4))))
    samples = draw_samples(fixed, 4.0, 3000, np.random.default_rng(0))
    metric = MutualInformation(samples, moving.at(4.0), moving.binning)
    start = pose((5, 5, 5), (30, 10, -30))
    points = start[:3, :3] @ samples.offsets_mm + start[:3, 3:]
    found, whole = metric.at_points(points), metric(start)
    assert (found.value, found.overlap) == pytest.approx((whole.value, whole.overlap), rel=1e-5)
    np.testing.assert_allclose(found.gradient.sum(axis=1), whole.gradient[:, 3], rtol=1e-3)
    # Waves, since neighbours move together in a warp.
    waves = np.random.default_rng(1).normal(size=(6, 3, 3)) / 30
    steps = [np.sin(wave @ points) * 0.02 for wave in waves]
    numeric = np.array(
        [metric.at_points(points + s).value - metric.at_points(points - s).value for s in steps]
    )
    exact = np.array([2 * float((found.gradient * step).sum()) for step in steps])
    assert np.abs(exact - numeric).max() < 0.05 * np.abs(exact).max()


def test_information_is_the_entropy_of_a_scan_with_itself_and_nought_with_noise(pair: Pair):
    fixed, _ = pair(np.eye(4))
    scan = Scan.of(fixed)
    samples = draw_samples(scan, 0, 20_000, np.random.default_rng(0))
    start = np.eye(4)
    start[:3, 3] = samples.centre_lps
    own = MutualInformation(samples, scan.image, scan.binning)(start)
    apart = start.copy()
    apart[:3, 3] += 300
    gone = MutualInformation(samples, scan.image, scan.binning)(apart)
    assert own.value > 1.2
    assert own.overlap > 0.95
    assert (gone.value, gone.overlap) == (0.0, 0.0)


def test_interpolation_of_a_ramp_is_exact_and_its_gradient_constant():
    i, j, k = np.indices((5, 6, 7)).astype(np.float32)
    index = np.random.default_rng(0).uniform(0, 4, (3, 50)).astype(np.float32)
    values, gradient = interpolate(2 * i - 3 * j + 5 * k, index)
    assert np.allclose(values, 2 * index[0] - 3 * index[1] + 5 * index[2], atol=1e-4)
    assert np.allclose(gradient, np.array([[2], [-3], [5]]), atol=1e-4)


def test_there_are_24_rotations_of_a_cube_and_the_first_changes_nothing():
    turns = cube_rotations()
    assert len({tuple(turn.ravel()) for turn in turns}) == 24
    assert np.array_equal(turns[0], np.eye(3))
    assert np.allclose(np.linalg.det(turns), 1)


def test_averaging_keeps_every_place_where_it_was(oblique: np.ndarray):
    shape = (24, 20, 12)
    lps = LPS_FROM_RAS @ oblique
    x = np.einsum("a,aijk->ijk", lps[0, :3], np.indices(shape)) + lps[0, 3]
    image = Scan.of(make_volume(x, oblique)).at(4.0)
    assert image.values.shape < shape
    index = np.indices(image.values.shape)
    place = np.einsum("a,aijk->ijk", image.affine_lps[0, :3], index) + image.affine_lps[0, 3]
    assert np.allclose(image.values, place, atol=1e-3)
