from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.registration.edges import EDGE_SHARE, EdgeAgreement
from refinefuse_med.registration.pose import AffineModel, Matrix
from refinefuse_med.registration.refine import EDGE_LEVEL, Level, metric_at
from refinefuse_med.registration.sampling import Scan, draw_samples
from refinefuse_med.volume import like

from .conftest import Pair, pose

TRUTH = pose((9, -7, 12), (5, 3, -4))


def _edges(fixed: Scan, moving: Scan) -> EdgeAgreement:
    samples = draw_samples(fixed, 4.0, 5000, np.random.default_rng(0))
    return EdgeAgreement(fixed, moving, samples, 4.0)


def _about_centre(scan: Scan, matrix: Matrix) -> Matrix:
    shift = np.eye(4)
    shift[:3, 3] = scan.foreground_lps.mean(axis=1)
    return matrix @ shift


def test_edges_agree_best_at_the_truth_whatever_the_contrast(pair: Pair):
    fixed, moving = pair(TRUTH)
    inverted = like(moving, moving.as_tensor().max() - moving.as_tensor())
    scan = Scan.of(fixed)
    at_truth = _about_centre(scan, TRUTH)
    values = []
    for seen in (moving, inverted):
        edges = _edges(scan, Scan.of(seen))
        values.append(edges(at_truth)[0])
        for off in (
            pose((0, 0, 0), (12, 0, 0)),
            pose((0, 0, 0), (0, 0, -12)),
            pose((0, 9, 0), (0, 0, 0)),
        ):
            assert edges(off @ at_truth)[0] < values[-1]
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_a_mirrored_scan_agrees_less(pair: Pair):
    fixed, moving = pair(TRUTH)
    scan = Scan.of(fixed)
    mirrored = like(moving, moving.as_tensor().flip(1))
    at_truth = _about_centre(scan, TRUTH)
    assert (
        _edges(scan, Scan.of(mirrored))(at_truth)[0]
        < 0.9 * _edges(scan, Scan.of(moving))(at_truth)[0]
    )


def test_the_gradient_is_that_of_the_value(pair: Pair):
    fixed, moving = (Scan.of(volume) for volume in pair(TRUTH))
    edges = _edges(fixed, moving)
    model = AffineModel(_about_centre(fixed, pose((5, 5, 5), (4, -3, 2)) @ TRUTH), 60.0)
    at = np.random.default_rng(1).normal(size=model.size) * 0.5
    step = 1e-2
    numeric = [
        (edges(model.matrix(at + unit))[0] - edges(model.matrix(at - unit))[0]) / (2 * step)
        for unit in np.eye(model.size) * step
    ]
    exact = model.pull_back(at, edges(model.matrix(at))[1])
    assert np.abs(exact - numeric).max() < 0.05 * np.abs(exact).max()


def test_on_its_level_edges_count_beside_information(pair: Pair):
    fixed, moving = (Scan.of(volume) for volume in pair(TRUTH))
    plain = Level(EDGE_LEVEL.voxel_mm, EDGE_LEVEL.samples, EDGE_LEVEL.poses)
    both, alone = (
        metric_at(fixed, moving, level, np.random.default_rng(0)) for level in (EDGE_LEVEL, plain)
    )
    at = _about_centre(fixed, TRUTH)
    edges = EdgeAgreement(fixed, moving, alone.samples, EDGE_LEVEL.voxel_mm)
    assert both(at).value == pytest.approx(alone(at).value + EDGE_SHARE * edges(at)[0])
    assert both(at).overlap == alone(at).overlap


def test_voxels_lie_where_the_affine_says(pair: Pair):
    # The pair's grids are oblique, flipped and anisotropic: a gradient that forgot it would
    # point elsewhere than the one taken from positions in space.
    fixed, _ = pair(np.eye(4))
    scan = Scan.of(fixed)
    lps = LPS_FROM_RAS @ np.asarray(fixed.affine)
    index = np.indices(fixed.shape[1:])
    ramp = np.einsum("a,aijk->ijk", lps[1, :3], index) + lps[1, 3]
    posterior = Scan.of(like(fixed, ramp))
    edges = _edges(scan, posterior)
    directions = edges._moving.reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(directions / np.linalg.norm(directions), (0, 1, 0), atol=0.02)
