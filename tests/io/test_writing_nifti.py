"""NIfTI files as other programs read them."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from refinefuse_med.errors import InputError, OutputError
from refinefuse_med.io.nifti_writer import space_of, write_nifti
from refinefuse_med.volume import SourceHeader, affine_lps, from_nibabel, make_volume


def _grey(affine):
    data = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    return make_volume(data, affine, modality="PT", units="SUVbw")


def _colour(affine):
    data = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 4), dtype=np.uint8)
    return make_volume(data, affine)


def test_grey_keeps_values_and_geometry(tmp_path, oblique):
    volume = _grey(oblique)
    image = nib.load(write_nifti(volume, tmp_path / "a.nii.gz"))
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.numpy()[0])
    np.testing.assert_allclose(image.affine, oblique, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), oblique, atol=1e-4)


def test_itk_reads_the_same_place(tmp_path, oblique):
    volume = _grey(oblique)
    image = sitk.ReadImage(str(write_nifti(volume, tmp_path / "a.nii.gz")))
    corner = (4, 6, 3)
    expected = affine_lps(volume) @ (*corner, 1)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(corner), expected[:3], atol=1e-3)
    assert image[4, 0, 3] == volume.numpy()[0, 4, 0, 3]


def test_colour_is_rgb24_and_comes_back(tmp_path, oblique):
    volume = _colour(oblique)
    image = nib.load(write_nifti(volume, tmp_path / "a.nii.gz"))
    assert image.get_data_dtype().names == ("R", "G", "B")
    np.testing.assert_array_equal(from_nibabel(image).numpy(), volume.numpy())
    pixel = sitk.ReadImage(str(tmp_path / "a.nii.gz"))[1, 2, 3]
    assert pixel == tuple(int(v) for v in volume.numpy()[:, 1, 2, 3])


def test_modality_and_units_are_noted(tmp_path, oblique):
    header = nib.load(write_nifti(_grey(oblique), tmp_path / "a.nii")).header
    assert header["descrip"].item() == b"modality=PT units=SUVbw"
    assert header.get_xyzt_units()[0] == "mm"


def test_same_volume_gives_the_same_bytes(tmp_path, oblique):
    first = write_nifti(_grey(oblique), tmp_path / "a.nii.gz").read_bytes()
    assert write_nifti(_grey(oblique), tmp_path / "b.nii.gz").read_bytes() == first


def test_sheared_affine_is_kept(tmp_path, oblique):
    sheared = oblique @ np.array([[1, 0, 0.2, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = nib.load(write_nifti(_grey(sheared), tmp_path / "a.nii"))
    np.testing.assert_allclose(image.affine, sheared, atol=1e-4)


def test_two_channels_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 channels"):
        write_nifti(make_volume(np.ones((2, 3, 3, 3)), np.eye(4)), tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_told(tmp_path, oblique):
    with pytest.raises(OutputError, match=r"a\.nii"):
        write_nifti(_grey(oblique), tmp_path / "absent" / "a.nii")


@pytest.mark.parametrize("space", ["scanner", "aligned", "mni"])
def test_both_forms_lead_to_the_space_of_the_source(tmp_path, oblique, space):
    source = SourceHeader(
        "nifti", str(write_nifti(_grey(oblique), tmp_path / "a.nii", space=space))
    )
    assert space_of(source) == space
    image = nib.load(write_nifti(_colour(oblique), tmp_path / "b.nii", space=space_of(source)))
    codes = (int(image.header["sform_code"]), int(image.header["qform_code"]))
    assert codes == ({"scanner": 1, "aligned": 2, "mni": 4}[space],) * 2


def test_the_space_is_read_as_the_volume_was_whatever_the_name_says(tmp_path, oblique):
    packed = tmp_path / "packed.nii"
    plain = write_nifti(_grey(oblique), tmp_path / "a.nii", space="mni")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert space_of(SourceHeader("nifti", str(packed))) == "mni"
    plain.rename(tmp_path / "plain.nii.gz")
    assert space_of(SourceHeader("nifti", str(tmp_path / "plain.nii.gz"))) == "mni"


def test_a_code_that_the_format_has_not_is_that_of_the_scanner(tmp_path, oblique):
    path = write_nifti(_grey(oblique), tmp_path / "a.nii")
    held = bytearray(path.read_bytes())
    held[254] = 9  # sform_code
    path.write_bytes(held)
    assert space_of(SourceHeader("nifti", str(path))) == "scanner"


def test_dicom_and_arrays_lie_in_the_space_of_the_scanner(tmp_path):
    assert space_of(SourceHeader("dicom", str(tmp_path))) == "scanner"
    assert space_of(SourceHeader("array")) == "scanner"
    assert space_of(SourceHeader("nifti", str(tmp_path / "gone.nii"))) == "scanner"
