"""DICOM series as other programs read them."""

from __future__ import annotations

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from refinefuse_med.errors import GeometryError, InputError, OutputError
from refinefuse_med.io.derived import derive_study
from refinefuse_med.io.registered_series import write_registered_series
from refinefuse_med.io.secondary_capture import write_secondary_capture
from refinefuse_med.io.spatial_registration import write_registration
from refinefuse_med.volume import Grid, SourceHeader, grid_of, make_volume
from tests.io.dicom_sources import FRAME_UID, STUDY_UID, ct_source, mr_source, pet_source

SHAPE = (9, 11, 6)
NIFTI = SourceHeader("nifti", "scan.nii.gz")


def _turned(axes: tuple[int, int, int], flips: tuple[int, int, int]) -> np.ndarray:
    """A grid whose I, J, K run along the given world axes."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * (np.array((0.9, 1.3, 4.1)) * flips)
    affine[:3, 3] = (-83.0, 57.0, -31.0)
    return affine


@pytest.fixture(params=["oblique", "axial", "flipped", "sagittal", "coronal"])
def affine(request, oblique) -> np.ndarray:
    return {
        "oblique": oblique,
        "axial": _turned((0, 1, 2), (-1, -1, 1)),
        "flipped": _turned((0, 1, 2), (-1, -1, -1)),
        "sagittal": _turned((1, 2, 0), (-1, -1, 1)),
        "coronal": _turned((0, 2, 1), (1, -1, -1)),
    }[request.param]


# Four voxels that are not in one plane: where they lie settles the whole affine, its
# handedness included.
MARKERS = {250: (1, 2, 0), 200: (7, 1, 1), 150: (2, 9, 4), 100: (6, 8, 5)}


SHARED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "AccessionNumber",
    "FrameOfReferenceUID",
    "BodyPartExamined",
    "SpecificCharacterSet",
)


def _colour(affine):
    data = np.zeros((3, *SHAPE), dtype=np.uint8)
    for value, voxel in MARKERS.items():
        data[(slice(None), *voxel)] = (value, value // 2, 7)
    return make_volume(data, affine)


def _where(affine, voxel):
    return (affine @ (*voxel, 1))[:3]


def _headers(paths):
    return [pydicom.dcmread(path) for path in paths]


def _assert_same_places(found: dict[int, np.ndarray], affine: np.ndarray) -> None:
    assert sorted(found) == sorted(MARKERS)
    for value, voxel in MARKERS.items():
        np.testing.assert_allclose(found[value], _where(affine, voxel), atol=1e-3)


def test_pydicom_finds_every_marker_in_its_place(tmp_path, affine):
    volume = _colour(affine)
    found = {}
    for header in _headers(write_secondary_capture(volume, NIFTI, tmp_path)):
        # PS3.3 C.7.6.2.1.1
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        between_rows, between_columns = map(float, header.PixelSpacing)
        red = header.pixel_array[..., 0]
        for r, c in np.argwhere(red):
            lps = np.array(header.ImagePositionPatient, dtype=float)
            lps = lps + row * between_columns * c + column * between_rows * r
            found[int(red[r, c])] = lps * (-1, -1, 1)
    _assert_same_places(found, affine)


def test_itk_finds_every_marker_in_its_place(tmp_path, affine):
    write_secondary_capture(_colour(affine), NIFTI, tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    red = sitk.GetArrayFromImage(image)[..., 0]
    found = {
        int(red[k, j, i]): np.array(image.TransformIndexToPhysicalPoint((int(i), int(j), int(k))))
        * (-1, -1, 1)
        for k, j, i in np.argwhere(red)
    }
    _assert_same_places(found, affine)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dcm2niix_finds_every_marker_in_its_place(tmp_path, affine):
    write_secondary_capture(_colour(affine), NIFTI, tmp_path / "in")
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["dcm2niix", "-f", "a", "-o", str(tmp_path / "out"), str(tmp_path / "in")],
        check=True,
        capture_output=True,
    )
    (path,) = (tmp_path / "out").glob("*.nii")
    image = nib.load(path)
    red = np.asarray(image.dataobj)["R"]
    found = {int(red[tuple(v)]): _where(image.affine, v) for v in np.argwhere(red)}
    _assert_same_places(found, affine)


def test_pixels_are_identical(tmp_path, oblique):
    data = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    paths = write_secondary_capture(make_volume(data, oblique), NIFTI, tmp_path)
    back = np.stack([header.pixel_array for header in _headers(paths)])
    np.testing.assert_array_equal(back.transpose(3, 2, 1, 0), data)


def test_grey_spans_black_to_white_without_being_stretched(tmp_path, oblique):
    data = np.linspace(0.2, 0.6, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    header = _headers(write_secondary_capture(make_volume(data, oblique), NIFTI, tmp_path))[0]
    assert (header.PhotometricInterpretation, header.BitsStored) == ("MONOCHROME2", 16)
    assert (header.WindowCenter, header.WindowWidth) == (32768, 65536)
    np.testing.assert_allclose(header.pixel_array.T / 65535, data[..., 0], atol=1e-5)


def test_patient_study_and_frame_of_reference_are_those_of_the_anatomical_series(tmp_path, oblique):
    volume = _colour(oblique)
    source = mr_source(grid_of(volume))
    headers = _headers(write_secondary_capture(volume, source, tmp_path))
    for keyword in SHARED:
        assert {header[keyword].value for header in headers} == {source.datasets[0][keyword].value}
    assert headers[0].StudyInstanceUID == STUDY_UID
    assert headers[0].FrameOfReferenceUID == FRAME_UID


def test_instances_are_new_and_refer_to_the_slice_they_were_made_from(tmp_path, oblique):
    volume = _colour(oblique)
    source = mr_source(grid_of(volume))
    headers = _headers(write_secondary_capture(volume, source, tmp_path))
    olds = [header.SOPInstanceUID for header in source.datasets]
    news = {header.SOPInstanceUID for header in headers}
    assert len(news) == SHAPE[2]
    assert news.isdisjoint(olds)
    (series_uid,) = {header.SeriesInstanceUID for header in headers}
    assert series_uid != source.datasets[0].SeriesInstanceUID
    references = [h.SourceImageSequence[0].ReferencedSOPInstanceUID for h in headers]
    assert references == olds
    assert [header.InstanceNumber for header in headers] == list(range(1, SHAPE[2] + 1))
    assert headers[0].SeriesNumber != source.datasets[0].SeriesNumber


def test_objects_say_what_they_are(tmp_path, oblique):
    volume = _colour(oblique)
    source = mr_source(grid_of(volume))
    header = _headers(write_secondary_capture(volume, source, tmp_path, description="Fused"))[0]
    assert header.ImageType == ["DERIVED", "SECONDARY"]
    assert header.BurnedInAnnotation == "NO"
    assert header.SeriesDescription == "Fused"
    assert "not for diagnosis" in header.ImageComments
    makers = [item.Manufacturer for item in header.ContributingEquipmentSequence]
    assert makers == ["Maker", header.Manufacturer]


def test_lossy_compression_of_the_source_is_carried(tmp_path, oblique):
    volume = _colour(oblique)
    source = mr_source(
        grid_of(volume), LossyImageCompression="01", LossyImageCompressionRatio="8.5"
    )
    header = _headers(write_secondary_capture(volume, source, tmp_path))[0]
    assert (header.LossyImageCompression, header.LossyImageCompressionRatio) == ("01", 8.5)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Nguyễn^Thị"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_in_other_scripts_survive(tmp_path, oblique, charset, name):
    volume = _colour(oblique)
    source = mr_source(grid_of(volume), SpecificCharacterSet=charset, PatientName=name)
    header = _headers(write_secondary_capture(volume, source, tmp_path))[0]
    assert str(header.PatientName) == name


def test_without_dicom_headers_an_anonymous_study_is_begun(tmp_path, oblique):
    volume = _colour(oblique)
    first = _headers(write_secondary_capture(volume, NIFTI, tmp_path / "a"))[0]
    second = _headers(write_secondary_capture(volume, NIFTI, tmp_path / "b"))[0]
    assert str(first.PatientName) == "Anonymous"
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value
        assert first[keyword].value != second[keyword].value


def test_frame_of_reference_of_the_volume_is_used_where_no_header_has_one(tmp_path):
    volume = make_volume(
        np.zeros((3, *SHAPE), np.uint8), np.eye(4), frame_of_reference_uid="2.25.99"
    )
    header = _headers(write_secondary_capture(volume, NIFTI, tmp_path))[0]
    assert header.FrameOfReferenceUID == "2.25.99"


def test_series_of_one_result_share_study_and_frame(tmp_path, oblique):
    fused = _colour(oblique)
    functional = make_volume(np.ones(SHAPE), oblique, modality="PT", units="SUVbw")
    study = derive_study(NIFTI, fused)
    a = _headers(write_secondary_capture(fused, NIFTI, tmp_path / "a", study=study))[0]
    b = _headers(write_registered_series(functional, NIFTI, tmp_path / "b", study=study))[0]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert a[keyword].value == b[keyword].value
    assert a.SeriesInstanceUID != b.SeriesInstanceUID
    assert a.SeriesNumber != b.SeriesNumber


def test_sheared_grid_is_refused(tmp_path, oblique):
    oblique[:3, 2] += 0.5 * oblique[:3, 0]
    with pytest.raises(GeometryError, match="sheared"):
        write_secondary_capture(_colour(oblique), NIFTI, tmp_path)


def test_what_is_no_fused_picture_is_refused(tmp_path, oblique):
    with pytest.raises(InputError, match="2 channels"):
        write_secondary_capture(make_volume(np.ones((2, *SHAPE)), oblique), NIFTI, tmp_path)


def test_folder_that_cannot_be_made_is_told(tmp_path, oblique):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_secondary_capture(_colour(oblique), NIFTI, tmp_path / "file" / "dicom")


def _functional(affine, modality, units, source=None, scale=37.5):
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32) * scale
    return make_volume(data, affine, modality=modality, units=units, source=source)


@pytest.mark.parametrize(
    ("modality", "units", "make", "sop_class"),
    [
        ("PT", "SUVbw", pet_source, "Positron Emission Tomography Image Storage"),
        ("PT", "Bq/ml", pet_source, "Positron Emission Tomography Image Storage"),
        ("CT", "HU", ct_source, "CT Image Storage"),
        ("NM", "counts", None, "Secondary Capture Image Storage"),
        ("PT", "SUVbw", None, "Secondary Capture Image Storage"),
    ],
)
def test_registered_volume_keeps_class_values_and_place(
    tmp_path, oblique, modality, units, make, sop_class
):
    elsewhere = Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0]))
    volume = _functional(oblique, modality, units, make(elsewhere) if make else None, 900)
    anatomical = mr_source(grid_of(volume))
    paths = write_registered_series(volume, anatomical, tmp_path)
    headers = _headers(paths)
    assert {header.SOPClassUID.name for header in headers} == {sop_class}
    assert {header.Modality for header in headers} == {modality}
    values = np.stack(
        [h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers]
    )
    step = float(headers[0].RescaleSlope)
    np.testing.assert_allclose(values.transpose(2, 1, 0), volume.numpy()[0], atol=step * 0.51)
    position = np.array(headers[3].ImagePositionPatient, dtype=float) * (-1, -1, 1)
    np.testing.assert_allclose(position, _where(oblique, (0, 0, 3)), atol=1e-3)
    assert headers[0].FrameOfReferenceUID == FRAME_UID
    assert headers[0].StudyInstanceUID == STUDY_UID


def test_registered_pet_says_its_units_and_keeps_what_suv_hangs_on(tmp_path, oblique):
    source = pet_source(Grid((4, 4, 3), np.eye(4)))
    volume = _functional(oblique, "PT", "SUVbw", source)
    header = _headers(write_registered_series(volume, mr_source(grid_of(volume)), tmp_path))[2]
    assert (header.Units, header.SUVType) == ("GML", "BW")
    assert (header.NumberOfSlices, header.ImageIndex) == (SHAPE[2], 3)
    assert (header.SeriesDate, header.SeriesTime) == ("20200102", "110000")
    assert header.PatientWeight == 71
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    assert tracer.RadionuclideHalfLife == 6586.2
    related = [item.SeriesInstanceUID for item in header.RelatedSeriesSequence]
    assert source.datasets[0].SeriesInstanceUID in related
    volume = _functional(oblique, "PT", "Bq/ml", source)
    header = _headers(write_registered_series(volume, NIFTI, tmp_path / "b"))[0]
    assert header.Units == "BQML"
    assert "SUVType" not in header


def test_pet_without_what_only_the_scanner_knows_is_no_pet_object(tmp_path, oblique):
    source = pet_source(Grid((4, 4, 3), np.eye(4)), FrameReferenceTime=None)
    volume = _functional(oblique, "PT", "SUVbw", source)
    header = _headers(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert header.SOPClassUID.name == "Secondary Capture Image Storage"
    mapping = header.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "g/ml{SUVbw}"


def test_registered_ct_stays_in_whole_hounsfield_units(tmp_path, oblique):
    volume = _functional(oblique, "CT", "HU", ct_source(Grid((4, 4, 3), np.eye(4))), -1024)
    header = _headers(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert (header.RescaleSlope, header.RescaleIntercept) == (1, 0)
    np.testing.assert_allclose(header.pixel_array.T, volume.numpy()[0, ..., 0], atol=0.5)


@pytest.mark.parametrize(
    ("window", "center", "width", "function"),
    [((0.0, 8.0), 4.0, 8.0, None), ((0.0, 0.5), 0.25, 0.5, "LINEAR_EXACT")],
)
def test_registered_volume_opens_in_its_window(tmp_path, window, center, width, function):
    volume = _functional(np.eye(4), "PT", "SUVbw")
    header = _headers(write_registered_series(volume, NIFTI, tmp_path, window=window))[0]
    assert (header.WindowCenter, header.WindowWidth) == (center, width)
    assert header.get("VOILUTFunction") == function


def test_constant_zero_volume_is_written(tmp_path, oblique):
    volume = make_volume(np.zeros(SHAPE), oblique, modality="PT", units="SUVbw")
    header = _headers(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert not header.pixel_array.any()


def _registration(tmp_path, matrix, *, same_study=True):
    fixed = mr_source(Grid(SHAPE, np.eye(4)))
    changes = {} if same_study else {"StudyInstanceUID": "2.25.77"}
    moving = pet_source(Grid((4, 4, 3), np.eye(4)), FrameOfReferenceUID="2.25.55", **changes)
    study = derive_study(fixed, _colour(np.eye(4)))
    path = write_registration(matrix, fixed, moving, tmp_path / "registration.dcm", study=study)
    return path, fixed, moving


def test_registration_object_maps_points_of_moving_to_fixed(tmp_path, oblique):
    fixed_to_moving = np.eye(4)
    fixed_to_moving[:3, :3] = np.linalg.qr(oblique[:3, :3])[0]
    fixed_to_moving[:3, :3] *= np.sign(np.linalg.det(fixed_to_moving[:3, :3]))
    fixed_to_moving[:3, 3] = (10, -20, 776)
    header = pydicom.dcmread(_registration(tmp_path, fixed_to_moving)[0])
    assert header.FrameOfReferenceUID == FRAME_UID
    of_fixed, of_moving = header.RegistrationSequence
    assert of_fixed.FrameOfReferenceUID == FRAME_UID
    assert of_moving.FrameOfReferenceUID == "2.25.55"
    matrix = of_moving.MatrixRegistrationSequence[0].MatrixSequence[0]
    assert matrix.FrameOfReferenceTransformationMatrixType == "RIGID"
    moving_to_fixed = np.reshape(matrix.FrameOfReferenceTransformationMatrix, (4, 4)).astype(float)
    point = np.array([30.0, 40.0, -50.0, 1.0])
    np.testing.assert_allclose(moving_to_fixed @ fixed_to_moving @ point, point, atol=1e-6)


@pytest.mark.parametrize("same_study", [True, False])
def test_registration_object_lists_what_it_refers_to(tmp_path, same_study):
    path, fixed, moving = _registration(tmp_path, np.diag([1, 1.1, 1, 1]), same_study=same_study)
    header = pydicom.dcmread(path)
    listed = [*header.ReferencedSeriesSequence]
    for study in header.get("StudiesContainingOtherReferencedInstancesSequence", []):
        listed += study.ReferencedSeriesSequence
    uids = [series.SeriesInstanceUID for series in listed]
    assert uids == [source.datasets[0].SeriesInstanceUID for source in (fixed, moving)]
    assert len(listed[0].ReferencedInstanceSequence) == SHAPE[2]


def test_registration_object_needs_two_dicom_series(tmp_path):
    fixed = mr_source(Grid(SHAPE, np.eye(4)))
    study = derive_study(fixed, _colour(np.eye(4)))
    with pytest.raises(InputError, match="two DICOM series"):
        write_registration(np.eye(4), fixed, NIFTI, tmp_path / "r.dcm", study=study)


def _written(tmp_path, oblique, case):
    grid = Grid(SHAPE, oblique)
    old = Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0]))
    sources = {
        "plain": mr_source(grid),
        "no body part": mr_source(grid, BodyPartExamined=None),
        "paired body part": mr_source(grid, BodyPartExamined="EXTREMITY"),
        "faulty": mr_source(grid, StudyID="longer than sixteen characters"),
        "nothing known": NIFTI,
    }
    functional = {
        "PET": _functional(oblique, "PT", "SUVbw", pet_source(old)),
        "PET in Bq/ml": _functional(oblique, "PT", "Bq/ml", pet_source(old)),
        "CT": _functional(oblique, "CT", "HU", ct_source(old)),
        "NM": _functional(oblique, "NM", "counts"),
    }
    if case.startswith("registration"):
        return [_registration(tmp_path, np.eye(4), same_study=case == "registration")[0]]
    if case in functional:
        return write_registered_series(functional[case], sources["plain"], tmp_path)
    if case == "grey":
        grey = make_volume(np.full(SHAPE, 0.5), oblique)
        return write_secondary_capture(grey, sources["plain"], tmp_path)
    return write_secondary_capture(_colour(oblique), sources[case], tmp_path)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
@pytest.mark.parametrize(
    "case",
    [
        "plain",
        "no body part",
        "paired body part",
        "faulty",
        "nothing known",
        "grey",
        "PET",
        "PET in Bq/ml",
        "CT",
        "NM",
        "registration",
        "registration across studies",
    ],
)
def test_validator_finds_no_error(tmp_path, oblique, case):
    path = _written(tmp_path, oblique, case)[-1]
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
    assert errors == []
