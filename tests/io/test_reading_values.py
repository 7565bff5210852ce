"""Stored values become real ones: rescale, padding, SUV by closed formulas."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedPETImageStorage

from refinefuse_med.io import load_volume
from refinefuse_med.io.suv import calibrate
from refinefuse_med.volume import Keys, source_of
from tests.io.corpus import (
    INTERCEPT,
    Scan,
    make_slice,
    pet_tags,
    stored,
    write_enhanced,
    write_scan,
)


def warnings_of(volume) -> str:
    return " | ".join(source_of(volume).warnings)


def test_each_slice_has_its_own_rescale(tmp_path):
    scan = Scan()
    for k in range(scan.slices):
        make_slice(scan, k, slope=0.05 * (k + 1)).save_as(tmp_path / f"{k}.dcm")
    volume = load_volume(tmp_path)
    np.testing.assert_allclose(volume.numpy()[0], scan.truth(), atol=0.13)


def test_a_lookup_table_goes_before_slope_and_intercept(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [4, 0, 16]
    table.add_new("LUTData", "US", [10, 20, 40, 80])
    table.ModalityLUTType = "US"
    scan = Scan()

    def look_up(ds, k):
        del ds.RescaleSlope, ds.RescaleIntercept
        ds.ModalityLUTSequence = Sequence([table])
        ds.PixelData = np.full((scan.rows, scan.columns), k % 4, np.uint16).tobytes()

    write_scan(tmp_path, scan, look_up)
    np.testing.assert_array_equal(load_volume(tmp_path).numpy()[0, 0, 0], [10, 20, 40, 80, 10])


def test_signed_values_stay_negative(tmp_path):
    scan = Scan(modality="CT", tags={"PixelRepresentation": 1, "RescaleSlope": 1})

    def signed(ds, k):
        ds.RescaleIntercept = 0
        ds.PixelData = np.full((scan.rows, scan.columns), -700 - k, np.int16).tobytes()

    write_scan(tmp_path, scan, signed)
    volume = load_volume(tmp_path)
    assert volume.meta[Keys.UNITS] == "HU"
    np.testing.assert_array_equal(volume.numpy()[0, 0, 0], [-700, -701, -702, -703, -704])


@pytest.mark.parametrize(
    ("value", "limit", "held"), [(63536, None, [-2000]), (-2000, -1990, [-2000, -1995])]
)
def test_ct_padding_becomes_air(tmp_path, value, limit, held):
    scan = Scan(modality="CT", tags={"PixelRepresentation": 1, "RescaleSlope": 1})

    def pad(ds, k):
        image = np.full((scan.rows, scan.columns), 40, np.int16)
        image[0, : len(held)] = held
        ds.RescaleIntercept = 0
        # 63536 is -2000 written as unsigned, as some scanners do.
        ds.add_new("PixelPaddingValue", "US" if value > 0 else "SS", value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", "SS", limit)
        ds.PixelData = image.tobytes()

    write_scan(tmp_path, scan, pad)
    volume = load_volume(tmp_path)
    assert sorted(np.unique(volume.numpy())) == [-1024, 40]
    assert f"{5 * len(held)} padding voxels were set to -1024 HU" in warnings_of(volume)


def test_monochrome1_keeps_its_stored_values_and_says_so(tmp_path):
    scan = Scan(tags={"PhotometricInterpretation": "MONOCHROME1"})
    write_scan(tmp_path, scan)
    volume = load_volume(tmp_path)
    np.testing.assert_allclose(volume.numpy()[0], scan.truth(), atol=0.026)
    assert "MONOCHROME1" in warnings_of(volume)


def test_a_decimal_comma_is_read_and_told(tmp_path):
    scan = Scan()
    for path in write_scan(tmp_path, scan):
        path.write_bytes(path.read_bytes().replace(b"2.25\\1.5", b"2,25\\1,5"))
    volume = load_volume(tmp_path)
    np.testing.assert_allclose(volume.numpy()[0], scan.truth(), atol=0.026)
    assert "decimal comma" in warnings_of(volume)


def test_ct_without_a_rescale_is_not_called_hounsfield(tmp_path):
    def bare(ds, k):
        del ds.RescaleIntercept, ds.RescaleSlope

    write_scan(tmp_path, Scan(modality="CT"), bare)
    assert load_volume(tmp_path).meta[Keys.UNITS] == "a.u."


def test_pet_comes_in_suv_by_the_closed_formula(tmp_path):
    scan = Scan(modality="PT", tags=pet_tags())
    write_scan(tmp_path, scan)
    volume = load_volume(tmp_path)
    factor = 70_000 / (2e8 * 2 ** (-3600 / 6586.2))
    assert volume.meta[Keys.UNITS] == "SUVbw"
    np.testing.assert_allclose(volume.numpy()[0], scan.truth() * factor, atol=0.026 * factor)
    assert "PET in SUVbw: dose decayed over 1.00 h" in warnings_of(volume)


def pet(agent=None, **changes):
    tags = pet_tags(**changes)
    for name, value in (agent or {}).items():
        setattr(tags["RadiopharmaceuticalInformationSequence"][0], name, value)
    return [make_slice(Scan(modality="PT", tags=tags), k) for k in range(2)]


def suv(seconds: float, half_life: float = 6586.2) -> float:
    return 70_000 / (2e8 * 2 ** (-seconds / half_life))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (pet(DecayCorrection="ADMIN"), 0),
        (pet({"RadiopharmaceuticalStartDateTime": "20200101093000"}), 5400),
        (pet({"RadiopharmaceuticalStartDateTime": "20191231230000"}), 43200),
        # Ten in the morning, told by clocks an hour apart.
        (pet({"RadiopharmaceuticalStartDateTime": "20200101090000+0000"},
             TimezoneOffsetFromUTC="+0100"), 3600),
        (pet({"RadiopharmaceuticalStartDateTime": "20200101100000+0100"},
             TimezoneOffsetFromUTC="+0100"), 3600),
        # Nothing says which clock the scanner has: that of the injection.
        (pet({"RadiopharmaceuticalStartDateTime": "20200101100000+0100"}), 3600),
        # The series was made later than the scan: its time is that of processing.
        (pet(SeriesTime="143000"), 3600),
        # The scan follows the injection across midnight.
        (pet({"RadiopharmaceuticalStartTime": "233000"}, SeriesTime="003000",
             AcquisitionTime="003000"), 3600),
    ],
)  # fmt: skip
def test_decay_is_counted_from_injection_to_the_start_of_the_scan(headers, seconds):
    found = calibrate(headers)
    assert found.units == "SUVbw"
    assert found.factor == pytest.approx(suv(seconds), rel=1e-9)


def test_where_nothing_is_corrected_each_image_has_the_dose_of_its_moment(tmp_path):
    tags = pet_tags(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration=600_000)
    scan = Scan(modality="PT", tags=tags)
    write_scan(tmp_path, scan, lambda ds, k: setattr(ds, "AcquisitionTime", f"11{10 * k:02d}00"))
    volume = load_volume(tmp_path)
    assert volume.meta[Keys.UNITS] == "SUVbw"
    # The mean count rate of ten minutes comes a little before their middle.
    rate = np.log(2) / 6586.2
    middle = np.log(rate * 600 / (1 - np.exp(-rate * 600))) / rate
    assert 296 < middle < 300
    factors = [suv(3600 + 600 * k + middle) for k in range(scan.slices)]
    np.testing.assert_allclose(volume.numpy()[0], scan.truth() * factors, rtol=1e-3, atol=1e-4)


def test_the_start_of_a_scan_is_counted_back_from_a_late_frame():
    """Frames from 30 min on, in a series whose own time is that of processing."""
    rate = np.log(2) / 6586.2
    middle = np.log(rate * 300 / (1 - np.exp(-rate * 300))) / rate
    headers = pet(
        SeriesTime="143000",
        AcquisitionTime="113000",
        FrameReferenceTime=1000 * (1800 + middle),
        ActualFrameDuration=300_000,
    )
    assert calibrate(headers).factor == pytest.approx(suv(3600), rel=1e-9)


def test_an_enhanced_pet_says_to_when_it_is_corrected(tmp_path):
    agent = pet_tags()["RadiopharmaceuticalInformationSequence"][0]
    del agent.RadiopharmaceuticalStartTime
    agent.RadiopharmaceuticalStartDateTime = "20200101100000"
    scan = Scan(modality="PT")
    path = write_enhanced(tmp_path / "e.dcm", scan, [4, 2, 0, 1, 3])
    ds = dcmread(path)
    ds.SOPClassUID = EnhancedPETImageStorage
    ds.PatientWeight = 70.0
    ds.RadiopharmaceuticalInformationSequence = Sequence([agent])
    ds.DecayCorrected = ds.AttenuationCorrected = "YES"
    ds.DecayCorrectionDateTime = "20200101110000"
    for groups in ds.PerFrameFunctionalGroupsSequence:
        groups.PixelValueTransformationSequence[0].RescaleType = "BQML"
    ds.save_as(path)
    volume = load_volume(path)
    assert volume.meta[Keys.UNITS] == "SUVbw"
    np.testing.assert_allclose(volume.numpy()[0], scan.truth() * suv(3600), rtol=1e-3, atol=1e-4)
    ds.AttenuationCorrected = "NO"
    ds.save_as(path)
    assert load_volume(path).meta[Keys.UNITS] == "Bq/ml"


def test_ge_start_of_scan_is_believed_where_the_series_was_processed_later():
    headers = pet(SeriesTime="143000", AcquisitionTime="113000")
    block = headers[0].private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x0D, "DT", "20200101110000.00")
    assert calibrate(headers).factor == pytest.approx(suv(3600), rel=1e-9)
    block[0x0D].value = "20200101110000.00+0100"
    assert calibrate(headers).factor == pytest.approx(suv(3600), rel=1e-9)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (pet(PatientWeight=None), "PatientWeight"),
        (pet(PatientWeight=float("nan")), "PatientWeight"),
        (pet({"RadionuclideHalfLife": float("inf")}), "RadionuclideHalfLife"),
        (pet(PatientWeight=70_000), "PatientWeight of 70000 kg"),
        (pet({"RadionuclideTotalDose": None}), "RadionuclideTotalDose"),
        (pet({"RadionuclideTotalDose": 200}), "MBq"),
        (pet({"RadionuclideHalfLife": None}), "RadionuclideHalfLife"),
        (pet({"RadiopharmaceuticalStartTime": None}), "RadiopharmaceuticalStartDateTime"),
        (pet({"RadiopharmaceuticalStartDateTime": "20200101120000"}), "after the injection"),
        (pet(SeriesTime="", AcquisitionTime=""), "SeriesTime"),
        (pet(DecayCorrection="NONE", AcquisitionTime=""), "AcquisitionTime"),
        (pet(DecayCorrection=""), "DecayCorrection is missing"),
        (pet(CorrectedImage=["ATTN"]), "DECY"),
        (pet(CorrectedImage=["DECY"]), "ATTN"),
        (pet(RadiopharmaceuticalInformationSequence=Sequence()), "Radiopharmaceutical"),
    ],
)
def test_what_suv_needs_is_never_guessed(headers, reason):
    found = calibrate(headers)
    assert (found.factor, found.units) == (1.0, "Bq/ml")
    assert reason in found.note


def test_pet_already_in_suv_is_left_as_it_is():
    assert calibrate(pet(Units="GML")).units == "SUVbw"
    assert calibrate(pet(Units="GML", SUVType="LBM")).units == "a.u."
    assert calibrate(pet(Units="PROPCNTS")).units == "a.u."


def test_philips_counts_need_the_makers_factors():
    headers = pet(Units="CNTS")
    assert calibrate(headers).units == "counts"
    headers[0].add_new((0x7053, 0x0010), "LO", "Philips PET Private Group")
    headers[0].add_new((0x7053, 0x1009), "DS", "3.5")
    assert calibrate(headers).factor == pytest.approx(3.5 * suv(3600), rel=1e-9)
    headers[0].add_new((0x7053, 0x1000), "DS", "0.00123")
    assert calibrate(headers).factor == pytest.approx(0.00123)


@pytest.mark.parametrize(
    ("private", "units", "factor"),
    [
        ([(0x70530010, "LO", "Philips PET Private Group"), (0x70531000, "DS", "0.002")],
         "CNTS", 0.002),
        ([(0x00090010, "LO", "GEMS_PETD_01"), (0x0009100D, "DT", "20200101103000.00")],
         "BQML", suv(1800)),
    ],
)  # fmt: skip
def test_private_factors_are_read_from_the_files(tmp_path, private, units, factor):
    scan = Scan(modality="PT", tags=pet_tags(Units=units, SeriesTime="143000"))

    def add(ds, k):
        for element in private:
            ds.add_new(*element)

    write_scan(tmp_path, scan, add)
    volume = load_volume(tmp_path)
    assert volume.meta[Keys.UNITS] == "SUVbw"
    np.testing.assert_allclose(volume.numpy()[0], scan.truth() * factor, atol=0.026 * factor)


def test_the_corpus_stores_what_it_promises():
    assert stored(np.array([INTERCEPT, INTERCEPT + 1]))[1] == 20
