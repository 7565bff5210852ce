"""The fused volume as Secondary Capture."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.errors import GeometryError, InputError, OutputError
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import grid_of, make_volume
from tests.io.dicom_sources import FRAME_UID, STUDY_UID, mr_source
from tests.io.objects.helpers import NIFTI, SHAPE, colour, headers_of

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


def test_pixels_are_identical(tmp_path, oblique):
    data = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    paths = write_secondary_capture(make_volume(data, oblique), NIFTI, tmp_path)
    back = np.stack([header.pixel_array for header in headers_of(paths)])
    np.testing.assert_array_equal(back.transpose(3, 2, 1, 0), data)


def test_grey_spans_black_to_white_without_being_stretched(tmp_path, oblique):
    data = np.linspace(0.2, 0.6, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    header = headers_of(write_secondary_capture(make_volume(data, oblique), NIFTI, tmp_path))[0]
    assert (header.PhotometricInterpretation, header.BitsStored) == ("MONOCHROME2", 16)
    assert (header.WindowCenter, header.WindowWidth) == (32768, 65536)
    np.testing.assert_allclose(header.pixel_array.T / 65535, data[..., 0], atol=1e-5)


def test_patient_study_and_frame_of_reference_are_those_of_the_anatomical_series(tmp_path, oblique):
    volume = colour(oblique)
    source = mr_source(grid_of(volume))
    headers = headers_of(write_secondary_capture(volume, source, tmp_path))
    for keyword in SHARED:
        assert {header[keyword].value for header in headers} == {source.datasets[0][keyword].value}
    assert headers[0].StudyInstanceUID == STUDY_UID
    assert headers[0].FrameOfReferenceUID == FRAME_UID


def test_instances_are_new_and_refer_to_the_slice_they_were_made_from(tmp_path, oblique):
    volume = colour(oblique)
    source = mr_source(grid_of(volume))
    headers = headers_of(write_secondary_capture(volume, source, tmp_path))
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
    volume = colour(oblique)
    source = mr_source(grid_of(volume))
    header = headers_of(write_secondary_capture(volume, source, tmp_path, description="Fused"))[0]
    assert header.ImageType == ["DERIVED", "SECONDARY"]
    assert header.BurnedInAnnotation == "NO"
    assert header.SeriesDescription == "Fused"
    assert "not for diagnosis" in header.ImageComments
    makers = [item.Manufacturer for item in header.ContributingEquipmentSequence]
    assert makers == ["Maker", header.Manufacturer]


def test_lossy_compression_of_the_source_is_carried(tmp_path, oblique):
    volume = colour(oblique)
    source = mr_source(
        grid_of(volume), LossyImageCompression="01", LossyImageCompressionRatio="8.5"
    )
    header = headers_of(write_secondary_capture(volume, source, tmp_path))[0]
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
    volume = colour(oblique)
    source = mr_source(grid_of(volume), SpecificCharacterSet=charset, PatientName=name)
    header = headers_of(write_secondary_capture(volume, source, tmp_path))[0]
    assert str(header.PatientName) == name


def test_without_dicom_headers_an_anonymous_study_is_begun(tmp_path, oblique):
    volume = colour(oblique)
    first = headers_of(write_secondary_capture(volume, NIFTI, tmp_path / "a"))[0]
    second = headers_of(write_secondary_capture(volume, NIFTI, tmp_path / "b"))[0]
    assert str(first.PatientName) == "Anonymous"
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value
        assert first[keyword].value != second[keyword].value


def test_frame_of_reference_of_the_volume_is_used_where_no_header_has_one(tmp_path):
    volume = make_volume(
        np.zeros((3, *SHAPE), np.uint8), np.eye(4), frame_of_reference_uid="2.25.99"
    )
    header = headers_of(write_secondary_capture(volume, NIFTI, tmp_path))[0]
    assert header.FrameOfReferenceUID == "2.25.99"


def test_series_of_one_result_share_study_and_frame(tmp_path, oblique):
    fused = colour(oblique)
    registered = make_volume(np.ones(SHAPE), oblique, modality="PT", units="SUVbw")
    study = derive_study(NIFTI, fused)
    a = headers_of(write_secondary_capture(fused, NIFTI, tmp_path / "a", study=study))[0]
    b = headers_of(write_registered_series(registered, NIFTI, tmp_path / "b", study=study))[0]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert a[keyword].value == b[keyword].value
    assert a.SeriesInstanceUID != b.SeriesInstanceUID
    assert a.SeriesNumber != b.SeriesNumber


def test_sheared_grid_is_refused(tmp_path, oblique):
    oblique[:3, 2] += 0.5 * oblique[:3, 0]
    with pytest.raises(GeometryError, match="sheared"):
        write_secondary_capture(colour(oblique), NIFTI, tmp_path)


def test_what_is_no_fused_picture_is_refused(tmp_path, oblique):
    with pytest.raises(InputError, match="2 channels"):
        write_secondary_capture(make_volume(np.ones((2, *SHAPE)), oblique), NIFTI, tmp_path)


def test_folder_that_cannot_be_made_is_told(tmp_path, oblique):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_secondary_capture(colour(oblique), NIFTI, tmp_path / "file" / "dicom")
