"""Alignments by hand, by landmarks and from files put every point where they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med.config import FusionConfig
from refinefuse_med.errors import InputError
from refinefuse_med.io import write_transform
from refinefuse_med.pipeline import register_pair
from refinefuse_med.volume import grid_of
from refinefuse_napari._bridge import image_layer
from refinefuse_napari._outcome import Request
from refinefuse_napari._place import (
    Nudge,
    by_headers,
    by_landmarks,
    by_nudge,
    from_file,
    judge,
    nudged,
    save_transform,
    world_to_lps,
)
from refinefuse_napari._snapshot import snapshot


@pytest.fixture
def request_(pair):
    shots = [
        snapshot(Layer.create(*image_layer(v, n))) for v, n in zip(pair, ("mr", "pet"), strict=True)
    ]
    return Request(*shots, FusionConfig())


@pytest.fixture
def turned():
    """A rigid transform that is neither small nor along an axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", (20, -15, 10), degrees=True).as_matrix()
    matrix[:3, 3] = (12, -7, 5)
    return matrix


def hottest_lps(outcome):
    layer = Layer.create(*outcome.layer)
    index = np.unravel_index(np.argmax(layer.data), layer.data.shape)
    return world_to_lps([layer.data_to_world(index)])[0]


def test_the_world_of_napari_is_the_patient(pair, request_):
    affine_ras = pair[0].affine.numpy()
    layer = Layer.create(*image_layer(pair[0], "mr"))
    corners = [layer.data_to_world(i) for i in ((0, 0, 0), [n - 1 for n in layer.data.shape])]
    ends = np.array([[0, 0, 0], [n - 1 for n in pair[0].shape[1:]]])
    ras = ends @ affine_ras[:3, :3].T + affine_ras[:3, 3]
    lps = ras * (-1, -1, 1)
    found = world_to_lps(corners)
    np.testing.assert_allclose(np.sort(found.sum(0)), np.sort(lps.sum(0)), atol=1e-6)


@pytest.mark.parametrize("shift", [(9, 0, 0), (0, 9, 0), (0, 0, 9), (-6, 4, 3)])
def test_a_nudge_moves_what_is_seen_by_that_many_millimetres(request_, hot_spot_ras, shift):
    base = by_headers(request_, None).alignment
    moved = hottest_lps(by_nudge(base, Nudge(shift_mm=shift)))
    np.testing.assert_allclose(moved, hot_spot_ras * (-1, -1, 1) + shift, atol=2.6)


def test_a_turn_leaves_the_middle_of_the_anatomy_in_its_place(turned):
    centre = np.array([3.0, -40.0, 25.0])
    matrix = nudged(turned, Nudge(turn_degrees=(10, -20, 30)), centre)
    np.testing.assert_allclose(
        matrix[:3, :3] @ centre + matrix[:3, 3], turned[:3, :3] @ centre + turned[:3, 3]
    )


def test_a_turn_about_the_axis_to_the_head_turns_left_to_back():
    matrix = nudged(np.eye(4), Nudge(turn_degrees=(0, 0, 90)), (0, 0, 0))
    # What is seen at the back was at the left before.
    np.testing.assert_allclose(matrix[:3, :3] @ (0, 1, 0), (1, 0, 0), atol=1e-12)


def test_landmarks_give_the_transform_that_their_points_obey(request_, turned):
    lps = np.array([[0.0, 0, 0], [30, 5, -4], [-8, 25, 10], [4, -12, 28]])
    there = lps @ turned[:3, :3].T + turned[:3, 3]
    fixed, moving = (points[:, ::-1] * (-1, 1, 1) for points in (lps, there))
    outcome = by_landmarks(request_, None, fixed, moving)
    found = outcome.alignment.pair.registration
    np.testing.assert_allclose(found.matrix_fixed_to_moving_lps, turned, atol=1e-6)
    assert found.method == "by landmarks"
    assert "at the points 0.0 mm" in outcome.summary
    assert outcome.alignment.given


def test_landmarks_that_cannot_be_are_refused(request_):
    points = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]) * 10
    with pytest.raises(InputError, match="in a line"):
        by_landmarks(request_, None, points, points)
    with pytest.raises(InputError, match="do not pair up"):
        by_landmarks(request_, None, points, points[:2])


def test_a_transform_is_saved_and_loaded_again(request_, turned, tmp_path):
    base = by_headers(request_, None).alignment
    nudge = Nudge((3, -2, 1), (4, 5, -6))
    moved = by_nudge(base, nudge).alignment
    save_transform(moved, tmp_path / "mine.tfm")
    loaded = from_file(request_, None, tmp_path / "mine.tfm").alignment.pair
    np.testing.assert_allclose(
        loaded.registration.matrix_fixed_to_moving_lps,
        moved.pair.registration.matrix_fixed_to_moving_lps,
        atol=1e-9,
    )
    np.testing.assert_allclose(loaded.registered, moved.pair.registered, atol=1e-4)


def test_a_file_that_is_no_transform_is_refused(request_, tmp_path):
    (tmp_path / "no.tfm").write_text("nothing")
    with pytest.raises(InputError, match="not an ITK transform"):
        from_file(request_, None, tmp_path / "no.tfm")


def test_what_is_placed_by_hand_is_judged_afterwards(request_):
    base = by_headers(request_, None).alignment
    moved = by_nudge(base, Nudge((3, 0, 0)))
    assert not moved.alignment.judged
    assert moved.verdict == "suspect"
    assert not moved.warnings
    judged = judge(moved.alignment)
    assert judged.alignment.judged
    assert judged.alignment.base is base
    assert judged.alignment.pair.registration.quality["spread_mm"] >= 0
    np.testing.assert_array_equal(
        judged.alignment.pair.registration.matrix_fixed_to_moving_lps,
        moved.alignment.pair.registration.matrix_fixed_to_moving_lps,
    )
    assert (judged.alignment.pair.registered == moved.alignment.pair.registered).all()


@pytest.fixture
def bent(pair, turned):
    """A rigid pose after a smooth deformation over the fixed grid."""
    from refinefuse_med.registration.deformation import Deformation, lattice_over

    flat = lattice_over(grid_of(pair[0]), 20)
    size = flat.coefficients.shape
    return Deformation(np.random.default_rng(0).normal(scale=2, size=size), flat.lattice_lps)


def test_a_deformed_alignment_is_loaded_as_it_was_saved(pair, request_, turned, bent, tmp_path):
    near = np.eye(4)
    near[:3, 3] = (2, -1, 1)
    plain = by_headers(request_, None).alignment
    registration = replace(
        plain.pair.registration, matrix_fixed_to_moving_lps=near, deformation=bent
    )
    pair_of = register_pair(plain.pair.fixed, plain.moving, known=registration)
    saved = replace(plain, pair=pair_of)
    save_transform(saved, tmp_path / "bent.tfm")
    loaded = from_file(request_, None, tmp_path / "bent.tfm")
    there = loaded.alignment.pair
    assert loaded.alignment.is_deformed
    np.testing.assert_allclose(there.registration.matrix_fixed_to_moving_lps, near, atol=1e-9)
    np.testing.assert_allclose(there.registration.deformation.coefficients, bent.coefficients)
    np.testing.assert_allclose(
        there.registration.deformation.lattice_lps, bent.lattice_lps, atol=1e-9
    )
    np.testing.assert_allclose(there.registered, pair_of.registered, atol=1e-5)
    assert (there.field_of_view == pair_of.field_of_view).all()
    assert any("rigid part" in warning for warning in loaded.warnings)


def test_a_deformation_of_another_scan_is_refused(pair, request_, bent, tmp_path):
    write_transform(np.eye(4), tmp_path / "bent.tfm", before=bent.itk())
    swapped = Request(request_.functional, request_.anatomical, request_.config)
    with pytest.raises(InputError, match="of another scan"):
        from_file(swapped, None, tmp_path / "bent.tfm")
