"""The shipped scans show what their truth says, on the side that it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from refinefuse_med.errors import InputError
from refinefuse_med.sample import sample_truth, sample_volume
from refinefuse_med.sample.volumes import SCAN_FILES, shipped_file
from refinefuse_med.volume import affine_lps, grid_of

MOVING = ("ct", "pet", "spect")


def sphere_mean(volume, center_lps, radius_mm):
    """Mean value within `radius_mm` of a point."""
    steps = np.arange(-radius_mm, radius_mm + 1)
    offsets = np.stack(np.meshgrid(steps, steps, steps)).reshape(3, -1)
    offsets = offsets[:, np.linalg.norm(offsets, axis=0) <= radius_mm]
    points = np.vstack([offsets + np.reshape(center_lps, (3, 1)), np.ones(offsets.shape[1])])
    i, j, k = np.round(np.linalg.inv(affine_lps(volume)) @ points)[:3].astype(int)
    return float(volume[0].numpy()[i, j, k].mean())


@pytest.mark.parametrize("name", SCAN_FILES)
def test_each_scan_has_an_oblique_anisotropic_grid_of_its_own(name):
    grid = grid_of(sample_volume(name))
    assert grid.is_orthogonal()
    assert np.ptp(grid.spacing_mm) > 0.2
    # no axis within 1 degree of an anatomical one
    assert np.abs(grid.directions_ras).max(axis=0).max() < np.cos(np.deg2rad(1))


def test_grids_differ_in_handedness():
    signs = {
        name: np.sign(np.linalg.det(affine_lps(sample_volume(name))[:3, :3])) for name in SCAN_FILES
    }
    assert set(signs.values()) == {-1, 1}


@pytest.mark.parametrize(
    ("name", "modality", "units"),
    [("mr", "MR", "a.u."), ("ct", "CT", "HU"), ("pet", "PT", "SUVbw"), ("spect", "NM", "counts")],
)
def test_the_reader_knows_modality_and_units(name, modality, units):
    meta = sample_volume(name).meta
    assert (meta["modality"], meta["units"]) == (modality, units)


def test_the_files_are_small():
    assert sum(shipped_file(f).stat().st_size for f in SCAN_FILES.values()) < 6e6


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="mr, ct, pet, spect"):
        sample_volume("us")


@pytest.mark.parametrize("name", MOVING)
def test_the_truth_is_rigid_and_carries_the_landmarks(name):
    truth = sample_truth()
    matrix = np.array(truth["fixed_to_moving_lps"][name])
    np.testing.assert_allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    for label, point in truth["landmarks_lps"]["mr"].items():
        expected = truth["landmarks_lps"][name][label]
        np.testing.assert_allclose((matrix @ [*point, 1])[:3], expected, atol=1e-3)


def test_the_lesion_is_hot_on_pet_where_the_truth_says():
    pet = sample_volume("pet")
    place = sample_truth()["landmarks_lps"]["pet"]["lesion"]
    labels, _ = ndimage.label(pet[0].numpy() > 10)
    i, j, k = np.round(np.linalg.inv(affine_lps(pet)) @ [*place, 1])[:3].astype(int)
    assert labels[i, j, k]
    found = affine_lps(pet) @ [*ndimage.center_of_mass(labels == labels[i, j, k]), 1]
    assert np.linalg.norm(found[:3] - place) < max(grid_of(pet).spacing_mm)


@pytest.mark.parametrize(
    ("name", "sign", "contrast"),
    [("mr", -1, 100), ("ct", -1, 5), ("pet", 1, 5), ("spect", -1, 40)],
)
def test_the_lesion_differs_from_the_other_side(name, sign, contrast):
    volume, places = sample_volume(name), sample_truth()["landmarks_lps"][name]
    here = sphere_mean(volume, places["lesion"], 8)
    there = sphere_mean(volume, places["lesion_mirrored"], 8)
    assert sign * (here - there) > contrast


@pytest.mark.parametrize(("name", "at_least"), [("mr", 500), ("ct", -100)])
def test_the_capsule_lies_in_air_on_the_patients_left(name, at_least):
    volume, places = sample_volume(name), sample_truth()["landmarks_lps"][name]
    assert sphere_mean(volume, places["marker"], 2) > at_least
    # LPS: +x is the patient's left
    assert places["marker"][0] > places["vertex"][0] + 50
    assert places["lesion"][0] > places["vertex"][0] + 20


def test_bone_lies_in_the_ct_around_the_brain_of_the_mr():
    ct, truth = sample_volume("ct"), sample_truth()
    assert sphere_mean(ct, truth["landmarks_lps"]["ct"]["left_frontal"], 8) == pytest.approx(
        33, abs=8
    )
    assert 500 < np.percentile(ct.numpy(), 99.5) < 2000
