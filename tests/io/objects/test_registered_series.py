"""The registered functional volume, in its own class and units."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.io import load_volume
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.volume import Grid, Keys, get_meta, grid_of, make_volume, modality_of
from tests.io.dicom_sources import (
    FRAME_UID,
    STUDY_UID,
    ct_source,
    enhanced_source,
    mr_source,
    nm_source,
    pet_source,
)
from tests.io.objects.helpers import NIFTI, SHAPE, functional, headers_of, where


@pytest.mark.parametrize(
    ("modality", "units", "make", "sop_class"),
    [
        ("PT", "SUVbw", pet_source, "Positron Emission Tomography Image Storage"),
        ("PT", "Bq/ml", pet_source, "Positron Emission Tomography Image Storage"),
        ("CT", "HU", ct_source, "CT Image Storage"),
        ("CT", "HU", lambda grid: enhanced_source(grid, "CT"), "CT Image Storage"),
        ("NM", "counts", None, "Secondary Capture Image Storage"),
        ("PT", "SUVbw", None, "Secondary Capture Image Storage"),
    ],
)
def test_registered_volume_keeps_class_values_and_place(
    tmp_path, oblique, modality, units, make, sop_class
):
    elsewhere = Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0]))
    volume = functional(oblique, modality, units, make(elsewhere) if make else None, 900)
    anatomical = mr_source(grid_of(volume))
    paths = write_registered_series(volume, anatomical, tmp_path)
    headers = headers_of(paths)
    assert {header.SOPClassUID.name for header in headers} == {sop_class}
    assert {header.Modality for header in headers} == {modality}
    values = np.stack(
        [h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers]
    )
    step = float(headers[0].RescaleSlope)
    np.testing.assert_allclose(values.transpose(2, 1, 0), volume.numpy()[0], atol=step * 0.51)
    position = np.array(headers[3].ImagePositionPatient, dtype=float) * (-1, -1, 1)
    np.testing.assert_allclose(position, where(oblique, (0, 0, 3)), atol=1e-3)
    assert headers[0].FrameOfReferenceUID == FRAME_UID
    assert headers[0].StudyInstanceUID == STUDY_UID
    if units != "Bq/ml":  # which our reader turns into SUV
        back = load_volume(tmp_path)
        assert (modality_of(back), get_meta(back, Keys.UNITS)) == (modality, units)


def test_units_are_those_of_the_mapping_only_where_that_is_the_rescale(tmp_path, oblique):
    volume = functional(oblique, "PT", "SUVbw")
    for path in write_registered_series(volume, NIFTI, tmp_path):
        header = pydicom.dcmread(path)
        header.RealWorldValueMappingSequence[0].RealWorldValueSlope *= 2
        header.save_as(path)
    assert get_meta(load_volume(tmp_path), Keys.UNITS) == "a.u."


def test_registered_spect_is_one_nuclear_medicine_image(tmp_path, oblique):
    source = nm_source(Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0])))
    volume = functional(oblique, "NM", "counts", source, 900)
    (header,) = headers_of(write_registered_series(volume, mr_source(grid_of(volume)), tmp_path))
    assert header.SOPClassUID.name == "Nuclear Medicine Image Storage"
    assert header.ImageType == ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    assert (header.NumberOfFrames, header.NumberOfSlices) == (SHAPE[2], SHAPE[2])
    assert header.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical == "Tc-99m HMPAO"
    (mapping,) = header.RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "{counts}"
    values = header.pixel_array * mapping.RealWorldValueSlope
    np.testing.assert_allclose(values.T, volume.numpy()[0], atol=900 / 32767)


def test_registered_pet_says_its_units_and_keeps_what_suv_hangs_on(tmp_path, oblique):
    source = pet_source(Grid((4, 4, 3), np.eye(4)))
    volume = functional(oblique, "PT", "SUVbw", source)
    header = headers_of(write_registered_series(volume, mr_source(grid_of(volume)), tmp_path))[2]
    assert (header.Units, header.SUVType) == ("GML", "BW")
    assert (header.NumberOfSlices, header.ImageIndex) == (SHAPE[2], 3)
    assert (header.SeriesDate, header.SeriesTime) == ("20200102", "110000")
    assert header.PatientWeight == 71
    tracer = header.RadiopharmaceuticalInformationSequence[0]
    assert tracer.RadionuclideHalfLife == 6586.2
    related = [item.SeriesInstanceUID for item in header.RelatedSeriesSequence]
    assert source.datasets[0].SeriesInstanceUID in related
    volume = functional(oblique, "PT", "Bq/ml", source)
    header = headers_of(write_registered_series(volume, NIFTI, tmp_path / "b"))[0]
    assert header.Units == "BQML"
    assert "SUVType" not in header


def test_pet_without_what_only_the_scanner_knows_is_no_pet_object(tmp_path, oblique):
    source = pet_source(Grid((4, 4, 3), np.eye(4)), FrameReferenceTime=None)
    volume = functional(oblique, "PT", "SUVbw", source)
    header = headers_of(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert header.SOPClassUID.name == "Secondary Capture Image Storage"
    mapping = header.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "g/ml{SUVbw}"


def test_registered_ct_stays_in_whole_hounsfield_units(tmp_path, oblique):
    volume = functional(oblique, "CT", "HU", ct_source(Grid((4, 4, 3), np.eye(4))), -1024)
    header = headers_of(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert (header.RescaleSlope, header.RescaleIntercept) == (1, 0)
    np.testing.assert_allclose(header.pixel_array.T, volume.numpy()[0, ..., 0], atol=0.5)


@pytest.mark.parametrize(
    ("window", "center", "width", "function"),
    [((0.0, 8.0), 4.0, 8.0, None), ((0.0, 0.5), 0.25, 0.5, "LINEAR_EXACT")],
)
def test_registered_volume_opens_in_its_window(tmp_path, window, center, width, function):
    volume = functional(np.eye(4), "PT", "SUVbw")
    header = headers_of(write_registered_series(volume, NIFTI, tmp_path, window=window))[0]
    assert (header.WindowCenter, header.WindowWidth) == (center, width)
    assert header.get("VOILUTFunction") == function


def test_constant_zero_volume_is_written(tmp_path, oblique):
    volume = make_volume(np.zeros(SHAPE), oblique, modality="PT", units="SUVbw")
    header = headers_of(write_registered_series(volume, NIFTI, tmp_path))[0]
    assert not header.pixel_array.any()
