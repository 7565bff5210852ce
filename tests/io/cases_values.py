"""Cases of what the stored values mean, and of how they are encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from refinefuse_med.volume import Keys
from tests.io.case import Case, in_place, series, tagged
from tests.io.corpus import INTERCEPT, SLOPE, Scan, make_slice, pet_tags, write_scan

SUV = 70_000 / (2e8 * 2 ** (-3600 / 6586.2))


def whole(ds, dtype) -> np.ndarray:
    """The pixels of a slice as whole numbers near their values."""
    stored = np.frombuffer(ds.PixelData, np.uint16).reshape(ds.Rows, ds.Columns)
    return np.rint(stored * SLOPE + INTERCEPT).astype(dtype)


def _signed(ds, k):
    ds.PixelRepresentation, ds.RescaleSlope, ds.RescaleIntercept = 1, 1, 0
    ds.PixelData = whole(ds, np.int16).tobytes()


def _wide(ds, k):
    ds.BitsAllocated = ds.BitsStored = 32
    ds.HighBit = 31
    ds.PixelData = np.frombuffer(ds.PixelData, np.uint16).astype(np.uint32).tobytes()


def _own_slope(ds, k):
    ds.RescaleSlope = SLOPE * (k + 1)
    stored = np.frombuffer(ds.PixelData, np.uint16)
    ds.PixelData = np.rint(stored / (k + 1)).astype(np.uint16).tobytes()


def _overlay(ds, k):
    """Twelve bits of values, and an overlay in the upper four."""
    values = whole(ds, np.int16) + 500
    assert values.max() < 4096
    ds.BitsStored, ds.HighBit = 12, 11
    ds.RescaleSlope, ds.RescaleIntercept = 1, -500
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    marks = (np.indices(values.shape).sum(0) % 2).astype(np.uint16) << 12
    ds.PixelData = (values.astype(np.uint16) | marks).tobytes()


def padded(value: int, limit: int | None = None):
    def change(ds, k):
        values = whole(ds, np.int16)
        values[0, 0] = -2000
        ds.PixelRepresentation, ds.RescaleSlope, ds.RescaleIntercept = 1, 1, 0
        ds.add_new("PixelPaddingValue", "US" if value > 0 else "SS", value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", "SS", limit)
        ds.PixelData = values.tobytes()

    return series(change, modality="CT")


def has_air(volume) -> None:
    assert float(volume[0, 0, 0].max()) == -1024
    volume[0, 0, 0] = 0
    in_place_but_corner(volume)


def in_place_but_corner(volume) -> None:
    from refinefuse_med.volume import affine_lps
    from tests.io.corpus import value_at

    index = np.stack(np.meshgrid(*map(np.arange, volume.shape[1:]), indexing="ij"), -1)[1:]
    places = index @ affine_lps(volume)[:3, :3].T + affine_lps(volume)[:3, 3]
    np.testing.assert_allclose(volume.numpy()[0, 1:], value_at(places), atol=0.53)


def table(ds, k):
    """A lookup table that holds the values themselves."""
    del ds.RescaleSlope, ds.RescaleIntercept
    held = Dataset()
    values = whole(ds, np.int64)
    low = int(values.min())
    held.LUTDescriptor = [int(values.max()) - low + 1, 0, 16]
    held.add_new("LUTData", "US", list(range(int(values.max()) - low + 1)))
    held.ModalityLUTType = "US"
    ds.ModalityLUTSequence = [held]
    ds.PixelData = (values - low).astype(np.uint16).tobytes()


def pet(**changes):
    return series(modality="PT", tags=pet_tags(**changes))


def _late():
    (agent,) = pet_tags()["RadiopharmaceuticalInformationSequence"]
    agent.RadiopharmaceuticalStartTime = "233000"
    return [agent]


def in_suv(volume) -> None:
    assert volume.meta[Keys.UNITS] == "SUVbw"
    in_place(volume / SUV)


def in_activity(volume) -> None:
    assert volume.meta[Keys.UNITS] == "Bq/ml"
    in_place(volume)


def philips(ds, k):
    ds.add_new(0x70530010, "LO", "Philips PET Private Group")
    ds.add_new(0x70531000, "DS", "0.5")


def behind_another(ds, k):
    ds.add_new(0x70530010, "LO", "ANOTHER MAKER")
    ds.add_new(0x70531000, "DS", "9.9")
    ds.add_new(0x70530011, "LO", "Philips PET Private Group")
    ds.add_new(0x70531100, "DS", "0.5")


def of_another(ds, k):
    ds.add_new(0x70530010, "LO", "ANOTHER MAKER")
    ds.add_new(0x70531000, "DS", "9.9")


def without_name(ds, k):
    ds.add_new(0x70531000, "DS", "0.5")


def counts(change):
    return lambda folder: write_scan(folder, Scan("PT", tags=pet_tags(Units="CNTS")), change)[:0]


def philips_series(folder: Path) -> None:
    write_scan(folder, Scan("PT", tags=pet_tags(Units="CNTS")), philips)


def encoded(syntax):
    def make(folder: Path) -> None:
        scan = Scan(rows=32, columns=32)  # JPEG 2000 takes no less
        for k in range(scan.slices):
            ds = make_slice(scan, k)
            if syntax.is_encapsulated:
                ds.compress(syntax)
            if syntax == ExplicitVRBigEndian:
                ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
            fresh = Dataset(ds)  # which does not know that it was little endian
            fresh.file_meta = ds.file_meta
            fresh.file_meta.TransferSyntaxUID = syntax
            fresh.save_as(folder / f"{k}.dcm", enforce_file_format=True)

    return make


def bare(syntax):
    """Without preamble and file meta information."""

    def make(folder: Path) -> None:
        for path in write_scan(folder, Scan()):
            ds = dcmread(path)
            del ds.file_meta
            ds.preamble = None
            ds.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True)

    return make


def bytes_changed(change):
    """The bytes of the third file changed."""

    def make(folder: Path) -> None:
        path = write_scan(folder, Scan())[2]
        path.write_bytes(change(path.read_bytes()))

    return make


def everywhere(old: bytes, new: bytes):
    def make(folder: Path) -> None:
        for path in write_scan(folder, Scan()):
            held = path.read_bytes()
            assert old in held
            path.write_bytes(held.replace(old, new))

    return make


def _undecodable(folder: Path) -> None:
    from pydicom.encaps import encapsulate

    for path in write_scan(folder, Scan()):
        ds = dcmread(path)
        ds.PixelData = encapsulate([bytes(64)])
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = MPEG4HP41
        ds.save_as(path)


def _damaged_codestream(folder: Path) -> None:
    encoded(JPEG2000Lossless)(folder)
    path = folder / "2.dcm"
    held = bytearray(path.read_bytes())
    start = held.index(b"\xff\x4f\xff\x51")  # where the codestream begins
    held[start : start + 40] = bytes(40)
    path.write_bytes(held)


def named(charset, name: str):
    def change(ds, k):
        ds.SpecificCharacterSet = charset
        ds.PatientName = name
        ds.SeriesDescription = name

    return series(change)


VALUE = {"check": lambda v: in_place(v, atol=0.53)}

CASES = [
    Case("a rescale of its own for each slice", series(_own_slope),
         check=lambda v: in_place(v, atol=0.13)),
    Case("MONOCHROME1", tagged(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    Case("signed values", series(_signed), **VALUE),
    Case("values of 32 bits", series(_wide)),
    Case("an overlay in the unused high bits", series(_overlay), **VALUE),
    Case("a lookup table in place of slope and intercept", series(table, slices=1),
         "single slice", check=lambda v: None),
    Case("padding of a CT", padded(-2000), "5 padding voxels were set to -1024 HU",
         check=has_air),
    Case("padding of a CT, written as unsigned", padded(63536), "5 padding voxels",
         check=has_air),
    Case("padding of a CT, as a range", padded(-2000, -1990), "5 padding voxels", check=has_air),
    Case("CT without a rescale", series(lambda ds, k: delattr(ds, "RescaleIntercept") or
                                        delattr(ds, "RescaleSlope"), modality="CT"),
         "CT without a rescale to Hounsfield units", check=lambda v: None),
    Case("PET in Bq/ml", pet(), "dose decayed over 1.00 h", check=in_suv),
    Case("PET injected before midnight",
         pet(SeriesDate="20200102", AcquisitionDate="20200102",
             RadiopharmaceuticalInformationSequence=[
                 _agent := pet_tags()["RadiopharmaceuticalInformationSequence"][0]]),
         "PET in SUVbw", check=in_suv),
    Case("PET corrected to the injection", pet(DecayCorrection="ADMIN"), "dose decayed over 0.00 h",
         check=lambda v: in_place(v / (70_000 / 2e8))),
    Case("PET without the patient's weight", pet(PatientWeight=None),
         "no SUVbw, PatientWeight is missing", check=in_activity),
    Case("PET without a dose",
         pet(RadiopharmaceuticalInformationSequence=[Dataset()]),
         "no SUVbw, RadionuclideTotalDose is missing", check=in_activity),
    Case("PET without attenuation correction", pet(CorrectedImage=["DECY"]),
         "no attenuation correction", check=in_activity),
    Case("PET in counts with the maker's factor (Philips)", philips_series,
         "by the maker's factor (7053,1000)", check=lambda v: in_place(v / 0.5, atol=0.03)),
    Case("Philips' factor behind the block of another maker", counts(behind_another),
         "by the maker's factor (7053,1000)", check=lambda v: in_place(v / 0.5, atol=0.03)),
    Case("Philips' factor without the name of its block", counts(without_name),
         "by the maker's factor (7053,1000)", check=lambda v: in_place(v / 0.5, atol=0.03)),
    Case("another maker's number at the place of Philips' factor", counts(of_another),
         "PET in counts: no SUVbw"),
    Case("PET injected before midnight, without dates of the injection",
         pet(SeriesTime="003000", AcquisitionTime="003000",
             RadiopharmaceuticalInformationSequence=_late()), "dose decayed over 1.00 h",
         check=in_suv),
    Case("PET without dates", pet(SeriesDate=None, AcquisitionDate=None),
         "no SUVbw, SeriesDate and AcquisitionDate are missing",
         check=in_activity),
    Case("PET in counts alone", pet(Units="CNTS"), "PET in counts"),
    Case("implicit little endian", encoded(ImplicitVRLittleEndian)),
    Case("explicit big endian", encoded(ExplicitVRBigEndian)),
    Case("deflated", encoded(DeflatedExplicitVRLittleEndian)),
    Case("RLE", encoded(RLELossless)),
    Case("JPEG 2000, lossless", encoded(JPEG2000Lossless)),
    Case("JPEG-LS, lossless", encoded(JPEGLSLossless)),
    Case("pixel data without a known decoder (MPEG-4)", _undecodable, "no decoder is known",
         refused=True),
    Case("a damaged JPEG 2000 stream", _damaged_codestream, "cannot be decoded", refused=True),
    Case("no preamble, implicit", bare(ImplicitVRLittleEndian)),
    Case("no preamble, explicit", bare(ExplicitVRLittleEndian)),
    Case("names in UTF-8", named("ISO_IR 192", "山田^太郎")),
    Case("names in ISO 2022 (Japanese)", named(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")),
    Case("names in another character set than the header says",
         everywhere(b"Name^A", b"\xe4\xf6\xfcn^A")),
    Case("a decimal comma", everywhere(b"2.25\\1.5", b"2,25\\1,5"), "decimal comma"),
    Case("rows under a wrong value representation (UL)",
         everywhere(b"\x28\x00\x10\x00US\x02\x00\x07\x00",
                    b"\x28\x00\x10\x00UL\x04\x00\x07\x00\x00\x00")),
    Case("a position under a wrong value representation (LO)",
         everywhere(b"\x20\x00\x32\x00DS", b"\x20\x00\x32\x00LO")),
    Case("bytes behind the pixel data", bytes_changed(lambda b: b + b"\0" * 100)),
    Case("a truncated slice", bytes_changed(lambda b: b[:-20]), "truncated: 106 of 126 bytes",
         refused=True),
    Case("a slice truncated within its header", bytes_changed(lambda b: b[:400]), "damaged file",
         refused=True),
    Case("a slice of zero bytes", bytes_changed(lambda b: b""), "damaged file", refused=True),
    Case("a slice overwritten with zeros", bytes_changed(lambda b: bytes(len(b))),
         "damaged file", refused=True),
    Case("a slice that a text has replaced", bytes_changed(lambda b: b"<html>gone</html>"),
         "damaged file", refused=True),
    Case("a slice without pixel data", series(lambda ds, k: ds.pop("PixelData") if k == 2 else 0),
         "without any", refused=True),
    Case("sizes that claim more than any memory",
         tagged(Rows=65535, Columns=65535), "truncated", refused=True),
    Case("one slice given as a file", lambda folder: write_scan(folder, Scan())[0],
         "one slice was named: its series of 5 files"),
]  # fmt: skip

_agent.RadiopharmaceuticalStartDateTime = "20200102100000"
