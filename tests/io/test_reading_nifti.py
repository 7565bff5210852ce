"""NIfTI: affine and values kept, meaning found where it can be, doubts told."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io import load_volume
from refinefuse_med.volume import Keys, affine_ras, modality_of, source_of


def warnings_of(volume) -> str:
    return " | ".join(source_of(volume).warnings)


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(-500, 900, (6, 5, 4)).astype(np.int16)


def save(path, data, affine, **codes):
    image = nib.Nifti1Image(data, affine)
    for form, code in codes.items():
        getattr(image, f"set_{form}")(affine, code)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_affine_and_values_are_kept(tmp_path, data, oblique, suffix):
    volume = load_volume(save(tmp_path / f"brain_t1{suffix}", data, oblique))
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-5)
    np.testing.assert_array_equal(volume.numpy()[0], data)
    assert source_of(volume).format == "nifti"


def test_scl_slope_is_applied(tmp_path, oblique):
    values = np.linspace(-1.5, 7.25, 120).reshape(6, 5, 4)
    image = nib.Nifti1Image(values, oblique)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "t1.nii")
    np.testing.assert_allclose(load_volume(tmp_path / "t1.nii").numpy()[0], values, atol=1e-3)


def test_a_fourth_axis_of_one_is_dropped_and_of_two_refused(tmp_path, data, oblique):
    assert load_volume(save(tmp_path / "t1.nii", data[..., None], oblique)).shape == (1, 6, 5, 4)
    path = save(tmp_path / "two.nii", np.stack([data, data], -1), oblique)
    with pytest.raises(InputError, match="2 frames in one file; extract the one"):
        load_volume(path)


def test_rgb_stays_colour(tmp_path, oblique):
    rgb = np.random.default_rng(0).integers(0, 255, (6, 5, 4, 3)).astype(np.uint8)
    packed = rgb.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))[..., 0]
    nib.save(nib.Nifti1Image(packed, oblique), tmp_path / "fused.nii.gz")
    volume = load_volume(tmp_path / "fused.nii.gz")
    np.testing.assert_array_equal(volume.numpy(), np.moveaxis(rgb, -1, 0))


@pytest.mark.parametrize(
    ("name", "modality", "units"),
    [
        ("sub-1_T1w", "MR", "a.u."),
        ("STS_002_PET_image", "PT", "a.u."),
        ("head.ct", "CT", "HU"),
        ("spect", "NM", "a.u."),
    ],
)
def test_a_modality_of_the_file_name_is_told(tmp_path, data, oblique, name, modality, units):
    volume = load_volume(save(tmp_path / f"{name}.nii.gz", data, oblique))
    assert (modality_of(volume), volume.meta[Keys.UNITS]) == (modality, units)
    assert f"modality {modality} taken from the file name" in warnings_of(volume)


@pytest.mark.parametrize("name", ["scan", "pet_on_ct", "fact"])
def test_a_doubtful_name_names_no_modality(tmp_path, data, oblique, name):
    volume = load_volume(save(tmp_path / f"{name}.nii.gz", data, oblique))
    assert modality_of(volume) == "OT"
    assert "modality unknown" in warnings_of(volume)


def test_surer_sources_go_before_the_name(tmp_path, data, oblique):
    path = save(tmp_path / "ct.nii.gz", data, oblique)
    image = nib.load(path)
    image.header["descrip"] = b"modality=NM units=counts"
    nib.save(nib.Nifti1Image(data, oblique, image.header), tmp_path / "mine_ct.nii.gz")
    mine = load_volume(tmp_path / "mine_ct.nii.gz")
    assert (modality_of(mine), mine.meta[Keys.UNITS]) == ("NM", "counts")
    assert "modality" not in warnings_of(mine)
    (tmp_path / "mine_ct.json").write_text(json.dumps({"Modality": "PT", "Units": "Bq/mL"}))
    beside = load_volume(tmp_path / "mine_ct.nii.gz")
    assert (modality_of(beside), beside.meta[Keys.UNITS]) == ("PT", "Bq/ml")
    assert modality_of(load_volume(tmp_path / "mine_ct.nii.gz", modality="mr")) == "MR"


def test_disagreeing_forms_are_told(tmp_path, data, oblique):
    image = nib.Nifti1Image(data, oblique)
    other = oblique.copy()
    other[:3, 3] += 12
    image.set_sform(oblique, 1)
    image.set_qform(other, 1)
    nib.save(image, tmp_path / "t1.nii")
    volume = load_volume(tmp_path / "t1.nii")
    assert "qform and sform differ by up to 12 mm" in warnings_of(volume)
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-4)


def test_a_file_without_orientation_is_told(tmp_path, data):
    image = nib.Nifti1Image(data, None)
    image.header.set_zooms((2, 2, 3))
    nib.save(image, tmp_path / "t1.nii")
    assert "left and right are a guess" in warnings_of(load_volume(tmp_path / "t1.nii"))


def test_metres_become_millimetres(tmp_path, data):
    image = nib.Nifti1Image(data, np.diag([0.002, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "t1.nii")
    np.testing.assert_allclose(np.diag(affine_ras(load_volume(tmp_path / "t1.nii")))[:3], [2, 2, 3])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_text_named_nifti_is_refused_in_one_line(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    path.write_text("this is no scan\n" * 50)
    with pytest.raises(InputError, match="not a readable NIfTI file") as caught:
        load_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(tmp_path, oblique, suffix):
    noise = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    path = save(tmp_path / f"t1{suffix}", noise, oblique)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match="truncated or damaged"):
        load_volume(path)


def test_an_affine_without_inverse_is_refused(tmp_path, data):
    path = save(tmp_path / "t1.nii", data, np.eye(4), sform=1)
    raw = bytearray(path.read_bytes())
    raw[312:328] = bytes(16)  # srow_z
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match="no inverse"):
        load_volume(path)


def test_a_folder_of_one_nifti_reads_as_that_file(tmp_path, data, oblique):
    save(tmp_path / "t1.nii.gz", data, oblique)
    assert modality_of(load_volume(tmp_path)) == "MR"
    save(tmp_path / "t2.nii.gz", data, oblique)
    with pytest.raises(InputError, match="2 NIfTI files; name one"):
        load_volume(tmp_path)
