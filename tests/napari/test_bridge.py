"""Layers and volumes: nothing moves, nothing is mirrored, nothing is forgotten."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Image, Layer
from scipy.spatial.transform import Rotation

from refinefuse_med.volume import SourceHeader, affine_ras, get_meta, make_volume, source_of
from refinefuse_napari._bridge import image_layer, on_grid_of, to_volume
from refinefuse_napari._snapshot import METADATA, snapshot

SHAPE = (5, 6, 7)


def pose(angles, flips, spacing=(0.9, 1.3, 4.1), origin=(-83.0, 57.0, -31.0)):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn * (np.asarray(spacing) * flips)
    affine[:3, 3] = origin
    return affine


POSES = [
    pose(angles, flips)
    for angles in [(0, 0, 0), (17, -23, 41), (90, 10, 5), (5, 100, -80)]
    for flips in [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)]
]


def volume_at(affine, **meta):
    values = np.random.default_rng(0).normal(size=SHAPE)
    return make_volume(values, affine, **{"modality": "PT", "units": "SUVbw", **meta})


def layer_of(volume, name="scan"):
    return Layer.create(*image_layer(volume, name))


@pytest.mark.parametrize("affine", POSES)
def test_a_volume_returns_from_its_layer_as_it_was(affine):
    volume = volume_at(affine)
    back = to_volume(snapshot(layer_of(volume)))
    np.testing.assert_array_equal(back.numpy(), volume.numpy())
    np.testing.assert_allclose(affine_ras(back), affine, atol=1e-9)


@pytest.mark.parametrize("affine", POSES)
def test_each_voxel_lies_in_the_world_where_the_patient_has_it(affine):
    values = np.zeros(SHAPE)
    values[4, 1, 2] = 1.0
    right, anterior, superior, _ = affine @ (4, 1, 2, 1)
    layer = layer_of(make_volume(values, affine))
    (index,) = np.argwhere(layer.data == 1)
    # The world is (inferior, posterior, left).
    np.testing.assert_allclose(
        layer.data_to_world(index), (-superior, -anterior, -right), atol=1e-9
    )


@pytest.mark.parametrize("affine", POSES)
def test_the_axes_of_the_data_run_with_those_of_the_world(affine):
    layer = layer_of(volume_at(affine))
    origin = np.asarray(layer.data_to_world((0, 0, 0)))
    for axis, step in enumerate(np.eye(3)):
        moved = np.asarray(layer.data_to_world(step)) - origin
        assert moved[axis] > 0


@pytest.mark.parametrize("affine", POSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_layer_and_its_volume_share_their_memory(affine, channels):
    data = np.zeros((channels, *SHAPE), np.float32 if channels == 1 else np.uint8)
    volume = make_volume(data, affine)
    layer = layer_of(volume)
    assert np.shares_memory(layer.data, data)
    assert np.shares_memory(to_volume(snapshot(layer)).numpy(), data)
    shot = snapshot(layer_of(volume_at(affine)))
    assert np.shares_memory(Layer.create(*on_grid_of(shot, volume)).data, data)


def test_scale_is_the_voxel_size_in_millimetres():
    layer = layer_of(volume_at(pose((3, -4, 5), (1, -1, 1))))
    np.testing.assert_allclose(layer.scale, (4.1, 1.3, 0.9))
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert layer.axis_labels == ("inferior", "posterior", "left")


def test_metadata_survives_the_round_trip():
    source = SourceHeader("nifti", "scan.nii", warnings=("the header says little",))
    volume = volume_at(
        POSES[5], frame_of_reference_uid="1.2.3", series_instance_uid="1.2.4", source=source
    )
    layer = layer_of(volume)
    assert layer.metadata[METADATA]["modality"] == "PT"
    back = to_volume(snapshot(layer))
    for key in ("modality", "units", "frame_of_reference_uid", "series_instance_uid"):
        assert get_meta(back, key) == get_meta(volume, key)
    assert source_of(back) is source


def test_a_layer_moved_by_hand_gives_a_volume_that_is_moved():
    layer = layer_of(volume_at(POSES[5]))
    layer.translate = (1.0, 2.0, 3.0)
    shift = np.zeros((4, 4))
    # The layer is moved along its own axes, before its affine.
    shift[:3, 3] = -(layer.affine.affine_matrix[:3, :3] @ (1.0, 2.0, 3.0))[::-1]
    np.testing.assert_allclose(affine_ras(to_volume(snapshot(layer))), POSES[5] + shift, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64, bool])
def test_a_plain_array_becomes_a_volume_of_unknown_modality(dtype):
    data = np.arange(24).reshape(2, 3, 4).astype(dtype)
    volume = to_volume(snapshot(Image(data, scale=(3.0, 2.0, 1.0), units="mm")))
    assert get_meta(volume, "modality") == "OT"
    np.testing.assert_array_equal(volume.numpy()[0], data.T.astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(affine_ras(volume)[:3, :3], axis=0), (1, 2, 3))
    assert source_of(volume).warnings == ()


def test_length_units_are_converted():
    volume = to_volume(snapshot(Image(np.ones((2, 3, 4)), scale=(500, 200, 100), units="um")))
    np.testing.assert_allclose(np.linalg.norm(affine_ras(volume)[:3, :3], axis=0), (0.1, 0.2, 0.5))


def test_a_layer_without_length_units_says_what_is_assumed():
    (warning,) = source_of(to_volume(snapshot(Image(np.ones((2, 3, 4)), name="heap")))).warnings
    assert "heap" in warning
    assert "mm" in warning


def test_a_result_takes_the_place_of_its_layer_and_shares_nothing_with_it():
    fixed = layer_of(volume_at(POSES[9]))
    shot = snapshot(fixed)
    volume = to_volume(shot)
    colour = make_volume(
        np.stack([np.full(SHAPE, c, dtype=np.uint8) for c in (10, 20, 30)]), affine_ras(volume)
    )
    result = Layer.create(*on_grid_of(shot, colour, name="fused"))
    assert result.rgb
    assert result.data.shape == (*fixed.data.shape, 3)
    assert result.data[0, 0, 0].tolist() == [10, 20, 30]
    corner = np.asarray(fixed.data.shape) - 1
    np.testing.assert_allclose(result.data_to_world(corner), fixed.data_to_world(corner))
    result.affine.translate = (0, 0, 0)
    assert np.abs(fixed.affine.translate).max() > 1


def test_a_computation_on_the_grid_stays_voxel_by_voxel_with_its_layer():
    fixed = layer_of(volume_at(POSES[9]))
    shot = snapshot(fixed)
    doubled = to_volume(shot) * 2
    np.testing.assert_array_equal(on_grid_of(shot, doubled)[0], fixed.data * 2)


def test_a_colour_volume_returns_from_its_layer():
    rng = np.random.default_rng(0)
    volume = make_volume(rng.integers(0, 255, (3, *SHAPE), dtype=np.uint8), POSES[6])
    back = to_volume(snapshot(layer_of(volume)))
    np.testing.assert_array_equal(back.numpy(), volume.numpy())


def test_display_follows_the_modality():
    pet = layer_of(volume_at(POSES[0], modality="PT"))
    mr = layer_of(volume_at(POSES[0], modality="MR"))
    assert pet.colormap.name == "hot_iron"
    assert mr.colormap.name == "gray"
    assert mr.contrast_limits[0] < mr.contrast_limits[1]
