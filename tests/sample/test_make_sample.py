"""The sample study as it is written: NIfTI, other seeds, DICOM."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from refinefuse_med.errors import UsageError
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.io import load_volume
from refinefuse_med.sample import make_sample, sample_truth, sample_volume
from refinefuse_med.sample.dicom_study import SERIES_FOLDERS, write_study
from refinefuse_med.sample.volumes import SCAN_FILES, shipped_file
from refinefuse_med.volume import affine_lps, affine_ras

MOVING = ("ct", "pet", "spect")


@pytest.fixture(scope="module")
def nifti(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("nifti")
    make_sample(out)
    return out


@pytest.fixture(scope="module")
def seeded(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("seeded")
    make_sample(out, seed=7)
    return out


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("study")
    make_sample(out, dicom=True)
    return out


def read_truth(out: Path) -> dict:
    return json.loads((out / "truth.json").read_text())


def value_at(volume, point_lps) -> float:
    index = np.linalg.inv(affine_lps(volume)) @ [*point_lps, 1]
    i, j, k = np.round(index[:3]).astype(int)
    return float(volume[0, i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2].mean())


def test_seed_zero_is_the_shipped_scans(nifti):
    for filename in SCAN_FILES.values():
        assert (nifti / filename).read_bytes() == shipped_file(filename).read_bytes()
    truth = read_truth(nifti)
    assert truth["scans"] == SCAN_FILES
    assert truth["fixed_to_moving_lps"] == sample_truth()["fixed_to_moving_lps"]


def test_every_written_file_is_named(tmp_path):
    written = make_sample(tmp_path)
    assert sorted(written) == sorted(p for p in tmp_path.rglob("*") if p.is_file())


def test_the_same_seed_gives_the_same_bytes(seeded, tmp_path):
    make_sample(tmp_path, seed=7)
    for path in seeded.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", MOVING)
def test_another_seed_moves_the_moving_scans(name, nifti, seeded):
    old, new = (np.array(read_truth(o)["fixed_to_moving_lps"][name]) for o in (nifti, seeded))
    pose = new @ np.linalg.inv(old)
    angle = np.degrees(np.arccos((np.trace(pose[:3, :3]) - 1) / 2))
    assert 5 < angle < 20.01
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert (
        load_volume(seeded / SCAN_FILES[name]).meta["modality"]
        == (load_volume(nifti / SCAN_FILES[name]).meta["modality"])
    )


def test_another_seed_leaves_the_fixed_scan(nifti, seeded):
    assert (nifti / "mr_t1.nii.gz").read_bytes() == (seeded / "mr_t1.nii.gz").read_bytes()


def test_the_lesion_moves_with_the_truth_of_the_seed(seeded):
    truth, pet = read_truth(seeded), load_volume(seeded / "pet.nii.gz")
    lesion = truth["landmarks_lps"]["mr"]["lesion"]
    moved = (np.array(truth["fixed_to_moving_lps"]["pet"]) @ [*lesion, 1])[:3]
    np.testing.assert_allclose(moved, truth["landmarks_lps"]["pet"]["lesion"], atol=1e-3)
    assert value_at(pet, moved) > 10
    assert value_at(pet, truth["landmarks_lps"]["pet"]["lesion_mirrored"]) < 8


def test_a_seeded_pose_agrees_with_simpleitk(seeded):
    truth = read_truth(seeded)
    shipped = sitk.ReadImage(str(shipped_file("ct.nii.gz")), sitk.sitkFloat32)
    pose = np.array(truth["fixed_to_moving_lps"]["ct"]) @ np.linalg.inv(
        np.array(sample_truth()["fixed_to_moving_lps"]["ct"])
    )
    back = sitk.AffineTransform(3)
    inverse = np.linalg.inv(pose)
    back.SetMatrix(inverse[:3, :3].ravel().tolist())
    back.SetTranslation(inverse[:3, 3].tolist())
    expected = sitk.GetArrayFromImage(
        sitk.Resample(shipped, shipped, back, sitk.sitkLinear, -1000.0)
    )
    found = load_volume(seeded / "ct.nii.gz")[0].numpy().T
    assert np.median(np.abs(found - expected)) < 3
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


@pytest.mark.parametrize(
    ("folder", "sop_class", "files"),
    [("MR", "MR Image Storage", 104), ("CT", "CT Image Storage", 66),
     ("PT", "Positron Emission Tomography Image Storage", 58),
     ("NM", "Nuclear Medicine Image Storage", 1)],
)  # fmt: skip
def test_a_study_has_four_series_of_their_own_frames_of_reference(study, folder, sop_class, files):
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in (study / folder).iterdir()]
    assert len(headers) == files
    assert {h.SOPClassUID.name for h in headers} == {sop_class}
    assert len({h.SOPInstanceUID for h in headers}) == files
    assert {h.PatientID for h in headers} == {"SAMPLE"}


def test_series_share_patient_and_study_but_no_frame_of_reference(study):
    firsts = [pydicom.dcmread(study / f / "0001.dcm") for f in SERIES_FOLDERS.values()]
    assert len({(h.PatientID, h.StudyInstanceUID) for h in firsts}) == 1
    assert len({h.SeriesInstanceUID for h in firsts}) == 4
    assert len({h.FrameOfReferenceUID for h in firsts}) == 4
    assert read_truth(study)["scans"] == SERIES_FOLDERS


@pytest.mark.parametrize("name", ["mr", "ct", "pet"])
def test_slices_lie_where_the_nifti_has_them(study, name):
    matrix = affine_lps(sample_volume(name))
    for k, path in enumerate(sorted((study / SERIES_FOLDERS[name]).iterdir())):
        header = pydicom.dcmread(path)
        rows = np.array(header.ImageOrientationPatient[:3], float)
        columns = np.array(header.ImageOrientationPatient[3:], float)
        # the far corner: one step along a row is PixelSpacing[1] (PS3.3 section C.7.6.2.1.1)
        corner = (
            np.array(header.ImagePositionPatient, float)
            + rows * float(header.PixelSpacing[1]) * (header.Columns - 1)
            + columns * float(header.PixelSpacing[0]) * (header.Rows - 1)
        )
        expected = (matrix @ [header.Columns - 1, header.Rows - 1, k, 1])[:3]
        assert np.abs(corner - expected).max() < 1e-3


def test_nm_frames_lie_where_the_nifti_has_them(study):
    matrix = affine_lps(sample_volume("spect"))
    header = pydicom.dcmread(study / "NM" / "0001.dcm")
    detector = header.DetectorInformationSequence[0]
    orientation = np.array(detector.ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    last = np.array(detector.ImagePositionPatient, float) + normal * float(
        header.SpacingBetweenSlices
    ) * (header.NumberOfFrames - 1)
    expected = (matrix @ [0, 0, header.NumberOfFrames - 1, 1])[:3]
    assert float(header.SpacingBetweenSlices) < 0
    assert np.abs(last - expected).max() < 1e-3


@pytest.mark.parametrize(("name", "tolerance"), [("mr", 0), ("ct", 0), ("pet", 2e-4), ("spect", 0)])
def test_our_reader_gives_back_values_units_and_places(study, name, tolerance):
    expected, found = sample_volume(name), load_volume(study / SERIES_FOLDERS[name])
    assert found.meta["units"] == expected.meta["units"]
    assert found.meta["modality"] == expected.meta["modality"]
    # A reader may list the slices from the other end: compare place by place.
    values, matrix = found[0].numpy(), affine_ras(found)
    to_expected = np.round(np.linalg.inv(affine_ras(expected)) @ matrix, 4)
    if to_expected[2, 2] < 0:
        values = values[:, :, ::-1]
        matrix = matrix @ [
            [1, 0, 0, 0],
            [0, 1, 0, 0],
            [0, 0, -1, values.shape[2] - 1],
            [0, 0, 0, 1],
        ]
    corner = [n - 1 for n in values.shape]
    for index in ([0, 0, 0, 1], [*corner, 1]):
        assert np.abs((matrix - affine_ras(expected)) @ index).max() < 1e-3
    assert np.abs(values - expected[0].numpy()).max() <= tolerance


def test_simpleitk_reads_the_ct_at_the_truth(study):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(study / "CT")))
    image = reader.Execute()
    marker = sample_truth()["landmarks_lps"]["ct"]["marker"]
    assert image[image.TransformPhysicalPointToIndex(marker)] > 0
    mirrored = LPS_FROM_RAS[:3, :3] @ marker * [1, -1, 1]
    assert image[image.TransformPhysicalPointToIndex(mirrored.tolist())] < -500


def test_uids_follow_from_seed_and_patient(tmp_path):
    def uids(folder: str, seed: int, patient_id: str) -> tuple[str, str]:
        (tmp_path / folder).mkdir()
        spect = {"spect": sample_volume("spect")}
        (path,) = write_study(spect, tmp_path / folder, seed, patient_id)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return header.StudyInstanceUID, header.SOPInstanceUID

    first = uids("a", 0, "SAMPLE")
    assert uids("b", 0, "SAMPLE") == first
    others = [first, uids("c", 1, "SAMPLE"), uids("d", 0, "OTHER")]
    assert len({study for study, _ in others}) == len({sop for _, sop in others}) == 3


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("folder", SERIES_FOLDERS.values())
def test_objects_conform(study, folder):
    path = study / folder / "0001.dcm"
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    assert "Error" not in done.stderr + done.stdout


@pytest.mark.parametrize("patient_id", ["", "x" * 65, "a\\b", "é"])
def test_a_patient_id_that_dicom_does_not_allow_is_refused(tmp_path, patient_id):
    with pytest.raises(UsageError, match="patient ID"):
        make_sample(tmp_path, dicom=True, patient_id=patient_id)


def test_nifti_with_a_patient_id_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--dicom"):
        make_sample(tmp_path, patient_id="P1")


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(UsageError, match="seed"):
        make_sample(tmp_path, seed=-1)
