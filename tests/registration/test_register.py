from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.errors import CancelledError, GeometryError, InputError, UsageError
from refinefuse_med.progress import Monitor
from refinefuse_med.registration import assess, register
from refinefuse_med.volume import Keys, make_volume

from .conftest import Pair, centred, error_mm, head, pose

MILD = pose((8, -12, 15), (14, -9, 11))


def rigid(seed: int = 0, threads: int = 1) -> RegistrationConfig:
    return RegistrationConfig(method="rigid", seed=seed, threads=threads)


@pytest.mark.parametrize(
    "truth",
    [
        pose((-20, 25, 35), (30, -40, 776)),  # frames of reference that have nothing in common
        pose((5, 170, -10), (0, 25, -10)),  # a header that is wrong about up
    ],
    ids=["far", "upside_down"],
)
def test_a_known_pose_between_oblique_flipped_anisotropic_grids_is_found(pair: Pair, truth):
    fixed, moving = pair(truth)
    result = register(fixed, moving, rigid())
    assert error_mm(result.matrix_fixed_to_moving_lps, truth) < 1.0
    assert result.verdict == "ok"
    assert result.quality["spread_mm"] < 1.5


@pytest.fixture(scope="module")
def mild(pair: Pair):
    """Two scans, the registration of them, and the progress it told of."""
    fixed, moving = pair(MILD)
    seen: list[float] = []
    monitor = Monitor(lambda stage, fraction: seen.append(fraction))
    return fixed, moving, register(fixed, moving, rigid(), monitor), seen


def test_a_known_pose_is_found_and_judged_ok(mild):
    result = mild[2]
    assert error_mm(result.matrix_fixed_to_moving_lps, MILD) < 1.0
    assert result.verdict == "ok"
    assert result.quality["spread_mm"] < 1.5


def test_a_mirrored_scan_does_not_pass_for_the_right_one(mild):
    fixed, moving, right, _ = mild
    mirrored = make_volume(moving.as_tensor().flip(1), moving.affine)
    wrong = register(fixed, mirrored, rigid())
    assert wrong.quality["mutual_information"] < 0.9 * right.quality["mutual_information"]


def test_a_thin_slab_is_found_in_the_whole_head(pair: Pair):
    truth = pose((6, -9, 12), (10, 5, 60))
    fixed, moving = pair(truth)
    low = 18
    affine = np.asarray(moving.affine).copy()
    affine[:3, 3] = (affine @ [0, 0, low, 1])[:3]
    slab = make_volume(moving.as_tensor()[..., low : low + 10], affine)
    result = register(fixed, slab, rigid())
    assert error_mm(result.matrix_fixed_to_moving_lps, truth) < 2.0
    assert result.quality["overlap"] < 0.5


def test_the_same_seed_gives_the_same_result_with_any_number_of_threads(mild):
    fixed, moving, first, _ = mild
    again = register(fixed, moving, rigid(threads=2))
    assert np.array_equal(first.matrix_fixed_to_moving_lps, again.matrix_fixed_to_moving_lps)
    assert first.quality == again.quality


def test_affine_recovers_a_scaling(pair: Pair):
    fixed, moving = pair(np.eye(4))
    truth = np.diag([1.05, 0.96, 1.04, 1])
    scaled = make_volume(moving.as_tensor(), truth @ moving.affine.numpy())
    result = register(fixed, scaled, RegistrationConfig(method="affine"))
    assert result.method == "affine"
    assert error_mm(result.matrix_fixed_to_moving_lps, truth) < 1.0
    assert error_mm(np.eye(4), truth) > 2.0


def test_noise_that_has_nothing_to_do_with_the_scan_is_judged_failed(pair: Pair):
    fixed, moving = pair(MILD)
    noise = np.random.default_rng(0).random(moving.shape[1:])
    result = register(fixed, make_volume(noise, moving.affine), rigid())
    assert result.verdict == "failed"
    assert result.warnings


def in_frame(volume, uid):
    volume.meta[Keys.FRAME_OF_REFERENCE_UID] = uid
    return volume


def test_auto_trusts_a_shared_frame_of_reference_and_else_registers(pair: Pair):
    fixed, moving = pair(np.eye(4))
    in_frame(fixed, "1.2.3"), in_frame(moving, "1.2.3")
    result = register(fixed, moving)
    assert result.method == "header"
    assert result.verdict == "ok"
    assert np.array_equal(result.matrix_fixed_to_moving_lps, np.eye(4))
    assert result.quality["mutual_information"] > 0.2
    in_frame(moving, "1.2.4")
    assert register(fixed, moving).method == "rigid"


def test_header_refuses_different_frames_of_reference_and_warns_of_unknown_ones(pair: Pair):
    fixed, moving = pair(np.eye(4))
    header = RegistrationConfig(method="header")
    assert "not known" in register(fixed, moving, header).warnings[0]
    in_frame(fixed, "1.2.3"), in_frame(moving, "1.2.4")
    with pytest.raises(GeometryError, match="different frames of reference"):
        register(fixed, moving, header)


def test_none_is_the_identity_and_warns_of_different_frames(pair: Pair):
    fixed, moving = pair(np.eye(4))
    in_frame(fixed, "1.2.3"), in_frame(moving, "1.2.4")
    result = register(fixed, moving, RegistrationConfig(method="none"))
    assert result.method == "none"
    assert np.array_equal(result.matrix_fixed_to_moving_lps, np.eye(4))
    assert result.verdict == "ok"
    assert "different frames" in result.warnings[0]


def test_a_right_transform_from_elsewhere_holds_and_a_wrong_one_is_suspect(pair: Pair):
    fixed, moving = pair(MILD)
    right = assess(fixed, moving, MILD)
    assert (right.method, right.verdict) == ("given", "ok")
    assert np.array_equal(right.matrix_fixed_to_moving_lps, MILD)
    assert right.quality["spread_mm"] < 1.5
    wrong = assess(fixed, moving, pose((0, 0, 0), (9, 0, 0)) @ MILD)
    assert wrong.verdict == "suspect"
    assert 5 < wrong.quality["spread_mm"] < 13
    assert "match better" in wrong.warnings[0]


def test_from_a_start_it_goes_to_the_place_nearby(pair: Pair):
    far = pose((2, 178, -3), (25, -40, 776))
    fixed, moving = pair(far)
    near = pose((4, -5, 6), (7, -6, 5)) @ far
    # Stretched: a rigid registration starts from the nearest pose that is one.
    near = near @ np.diag([1.05, 0.97, 1.02, 1])
    result = register(fixed, moving, RegistrationConfig(), start_fixed_to_moving_lps=near)
    assert error_mm(result.matrix_fixed_to_moving_lps, far) < 1.0
    assert (result.method, result.start, result.verdict) == ("rigid", "given", "ok")
    assert np.linalg.det(result.matrix_fixed_to_moving_lps) == pytest.approx(1)
    lost = register(fixed, moving, rigid(), start_fixed_to_moving_lps=pose((0, 0, 0), (0, 0, 776)))
    assert error_mm(lost.matrix_fixed_to_moving_lps, far) > 20
    assert lost.verdict != "ok"


@pytest.mark.parametrize(
    "matrix", [np.eye(3), np.full((4, 4), np.nan), np.diag([-1.0, 1, 1, 1]), np.zeros((4, 4))]
)
def test_what_is_no_transform_is_not_taken_for_one(mild, matrix):
    fixed, moving, *_ = mild
    with pytest.raises(GeometryError, match="given transform"):
        register(fixed, moving, rigid(), start_fixed_to_moving_lps=matrix)
    with pytest.raises(GeometryError, match="given transform"):
        assess(fixed, moving, matrix)


def test_a_start_for_what_takes_the_header_is_refused(pair: Pair):
    fixed, moving = pair(MILD)
    config = RegistrationConfig(method="none")
    with pytest.raises(UsageError, match="has no start"):
        register(fixed, moving, config, start_fixed_to_moving_lps=MILD)


def test_a_header_that_is_wrong_is_suspect(pair: Pair):
    fixed, moving = pair(MILD)
    in_frame(fixed, "1.2.3"), in_frame(moving, "1.2.3")
    result = register(fixed, moving)
    assert (result.method, result.verdict) == ("header", "suspect")


def test_scans_that_do_not_overlap_fail_by_header(pair: Pair):
    fixed, moving = pair(pose((0, 0, 0), (0, 0, 500)))
    result = register(fixed, moving, RegistrationConfig(method="header"))
    assert result.verdict == "failed"
    assert "do not overlap" in result.warnings[-1]


def test_what_cannot_be_registered_is_refused_in_one_line(pair: Pair):
    fixed, moving = pair(MILD)
    affine = np.asarray(moving.affine).copy()
    sheared = affine.copy()
    sheared[0, 2] += 2.0
    data = moving.as_tensor().clone()
    with pytest.raises(GeometryError, match="right angles"):
        register(fixed, make_volume(data, sheared))
    with pytest.raises(InputError, match="same value"):
        register(fixed, make_volume(np.ones((9, 9, 9)), affine))
    with pytest.raises(InputError, match="single slice"):
        register(fixed, make_volume(data[..., :1], affine))
    data[0, 3, 3, 3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        register(make_volume(data, affine), moving)


def test_it_tells_of_its_progress(mild):
    seen = mild[3]
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)


def test_it_stops_when_asked_to_within_any_stage(mild):
    fixed, moving, _, _ = mild
    for stop in (1, 40, 400):  # checks: before the start, in the search, in the optimiser
        left = [stop]

        def cancelled(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        with pytest.raises(CancelledError):
            register(fixed, moving, rigid(), Monitor(is_cancelled=cancelled))


def test_a_scan_with_few_voxels_or_values_does_not_break_it(oblique: np.ndarray):
    fixed = head(centred(oblique * [8, 8, 8, 1], (12, 12, 4), np.zeros(3)), (12, 12, 4), "MR")
    label = make_volume((np.indices((9, 10, 2)).sum(0) > 9).astype(np.float32), oblique)
    result = register(fixed, label, rigid())
    assert np.isfinite(result.matrix_fixed_to_moving_lps).all()
