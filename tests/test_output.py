"""The folder that a result is saved as."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from refinefuse_med.applying import apply_transform
from refinefuse_med.config import EngineConfig, FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.io import load_volume, write_nifti
from refinefuse_med.output import save_applied, save_registration
from refinefuse_med.pipeline import fuse_pair, register_pair
from refinefuse_med.volume import affine_lps


@pytest.fixture(scope="module")
def result(head_pair):
    return fuse_pair(*head_pair, FusionConfig(registration=RegistrationConfig(method="none")))


@pytest.mark.parametrize("kind", ["mha", "nrrd"])
def test_formats_of_itk_hold_the_same_voxels_in_the_same_place(result, tmp_path, kind):
    out = result.save(tmp_path / "out", kind)
    assert not list(out.glob("*.nii.gz"))
    picture = sitk.ReadImage(str(out / f"fused.{kind}"))
    voxels = sitk.GetArrayFromImage(picture).transpose(3, 2, 1, 0)
    np.testing.assert_array_equal(voxels, result.fused.numpy())
    corner = affine_lps(result.fused) @ (43, 49, 29, 1)
    np.testing.assert_allclose(
        picture.TransformIndexToPhysicalPoint((43, 49, 29)), corner[:3], atol=1e-3
    )
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"functional_registered.{kind}")))
    np.testing.assert_array_equal(values.T, result.functional_registered.numpy()[0])


def test_a_json_file_beside_each_image_tells_its_units_and_how_it_was_made(result, tmp_path):
    out = result.save(tmp_path / "out", "nifti", contribution=True)
    for path in out.glob("*.nii.gz"):
        told = json.loads((out / path.name.replace(".nii.gz", ".json")).read_text())
        assert told["GeneratedBy"][0]["Name"] == "RefineFuse-Med"
        assert told["RegistrationMethod"] == "none"
        assert not told["SkullStripped"]
    assert json.loads((out / "functional_registered.json").read_text())["Units"] == "SUVbw"
    fused = json.loads((out / "fused.json").read_text())
    assert (fused["Palette"], fused["LocalContrast"]) == ("hot_iron", 0)


def test_contribution_is_the_share_of_the_functional_volume(result, tmp_path):
    out = result.save(tmp_path / "out", ["nifti", "dicom"], contribution=True)
    share = nib.load(out / "contribution.nii.gz").get_fdata()
    anatomical, functional = result.contribution.numpy()
    seen = anatomical + functional > 1e-3
    np.testing.assert_allclose(
        share[seen], (functional / (anatomical + functional + 1e-12))[seen], atol=1e-5
    )
    header = pydicom.dcmread(out / "dicom" / "contribution.dcm")
    assert header.SOPClassUID.name == "Parametric Map Storage"
    (bounds,) = header.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    assert (bounds.WindowCenter, bounds.WindowWidth) == (0.5, 1)


def test_options_choose_the_objects(result, tmp_path):
    out = result.save(
        tmp_path / "out", "dicom", multiframe=True, quantitative=True, colour_bar=True
    )
    names = {path.name for path in (out / "dicom").iterdir()}
    assert names == {"fused.dcm", "functional_registered.dcm", "colour_bar.dcm"}
    fused = pydicom.dcmread(out / "dicom" / "fused.dcm")
    assert "palette hot_iron" in fused.DerivationDescription
    assert "SUVbw" in fused.DerivationDescription


def test_what_was_mixed_in_is_told_by_record_and_header(head_pair, tmp_path):
    config = FusionConfig(
        registration=RegistrationConfig(method="none"), engine=EngineConfig(local_contrast=0.5)
    )
    mixed = fuse_pair(*head_pair, config)
    assert mixed.record["fusion"]["local_contrast"] == 0.5
    out = mixed.save(tmp_path / "out", "dicom", multiframe=True)
    fused = pydicom.dcmread(out / "dicom" / "fused.dcm")
    assert fused.DerivationDescription.endswith("palette hot_iron, local contrast 0.5")


def test_same_inputs_and_configuration_give_the_same_uids_on_request(result, head_pair, tmp_path):
    def uids(one, name):
        out = one.save(tmp_path / name, "dicom", deterministic_uids=True)
        return {pydicom.dcmread(path).SOPInstanceUID for path in out.rglob("*.dcm")}

    again = FusionConfig(registration=RegistrationConfig(method="none"))
    other = again.model_copy(update={"colour": again.colour.model_copy(update={"keep": "chroma"})})
    first = uids(result, "a")
    assert uids(fuse_pair(*head_pair, again), "b") == first
    assert uids(fuse_pair(*head_pair, other), "c").isdisjoint(first)


def test_options_that_have_no_effect_are_told(head_pair, tmp_path):
    one = fuse_pair(*head_pair, FusionConfig(registration=RegistrationConfig(method="none")))
    one.save(tmp_path / "as batches do", "nifti", deterministic_uids=True)
    assert not any(warning.startswith("output: ") for warning in one.record["warnings"])
    one.save(tmp_path / "out", "nifti", multiframe=True, colour_bar=True)
    assert one.record["warnings"][-1] == (
        "output: no DICOM is written, so no --multiframe, --colour-bar"
    )


def test_what_was_registered_lies_in_the_space_of_the_fixed_file(head_pair, tmp_path):
    fixed = load_volume(write_nifti(head_pair[0], tmp_path / "mr.nii", space="mni"))
    moving = load_volume(write_nifti(head_pair[1], tmp_path / "pet.nii"))
    pair = register_pair(fixed, moving, RegistrationConfig(method="none"))
    save_registration(pair, tmp_path / "a", OutputConfig())
    applied = apply_transform(fixed, [moving], np.eye(4))
    save_applied(fixed, applied, tmp_path / "b", OutputConfig())
    for out in (tmp_path / "a", tmp_path / "b"):
        header = nib.load(out / "moving_registered.nii.gz").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 4)
