"""Uncompressed pixels read from their place are those that pydicom decodes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from refinefuse_med.io import load_volume
from refinefuse_med.io.headers import read_header
from refinefuse_med.io.native import native_pixels
from refinefuse_med.volume import source_of
from tests.io.corpus import Scan, make_slice, write_scan

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def stored_file(path, bits, unused, sign, frames, syntax=ExplicitVRLittleEndian):
    """Random bits in a file of odd sizes, those outside of BitsStored too."""
    ds = make_slice(Scan(columns=3, rows=5), 0)
    ds.BitsAllocated, ds.BitsStored = bits, bits - unused
    ds.HighBit, ds.PixelRepresentation = bits - unused - 1, sign
    ds.NumberOfFrames = frames
    data = np.random.default_rng(bits + frames).bytes(frames * 15 * bits // 8)
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path)
    return path


@pytest.mark.parametrize(
    ("bits", "unused", "sign", "frames", "syntax"),
    list(itertools.product((8, 16, 32), (0, 3), (0, 1), (1, 3), SYNTAXES)),
)
def test_the_values_are_those_of_pydicom(tmp_path, bits, unused, sign, frames, syntax):
    path = stored_file(tmp_path / "a.dcm", bits, unused, sign, frames, syntax)
    with path.open("rb") as stream:
        plain = native_pixels(read_header(path, "a.dcm"), stream)
        found = list(plain.frames(stream, range(frames)[::-1]))
    expected = pixel_array(dcmread(path), raw=True).reshape(frames, 5, 3)
    np.testing.assert_array_equal(found[::-1], expected)
    assert found[0].dtype == expected.dtype


@pytest.mark.parametrize(
    ("name", "value"),
    [("SamplesPerPixel", 3), ("BitsAllocated", 1), ("PixelRepresentation", 2), ("BitsStored", 17),
     ("BitsStored", 0), ("PhotometricInterpretation", "PALETTE COLOR"), ("Rows", 7),
     ("NumberOfFrames", 2)],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_pydicom(tmp_path, name, value):
    path = stored_file(tmp_path / "a.dcm", 16, 0, 0, 1)
    ds = dcmread(path)
    setattr(ds, name, value)
    ds.save_as(path)
    with path.open("rb") as stream:
        assert native_pixels(read_header(path, "a.dcm"), stream) is None


def test_a_file_that_was_cut_meanwhile_gives_no_pixels(tmp_path):
    path = stored_file(tmp_path / "a.dcm", 16, 0, 0, 3)
    file = read_header(path, "a.dcm")
    path.write_bytes(path.read_bytes()[:-40])
    with path.open("rb") as stream:
        plain = native_pixels(file, stream)
        assert len(list(plain.frames(stream, range(3)))) == 1
    path.write_bytes(path.read_bytes()[:200])
    with path.open("rb") as stream:
        assert native_pixels(file, stream) is None


def test_headers_are_whole_although_the_files_are_gone(tmp_path):
    scan = Scan(tags={"StationName": "A", "PatientName": "Yamada^Tarou=山田^太郎",
                      "SpecificCharacterSet": "ISO_IR 192"})  # fmt: skip
    paths = write_scan(tmp_path / "scan", scan)
    volume = load_volume(tmp_path / "scan")
    for path in paths:
        path.unlink()
    headers = source_of(volume).datasets
    assert [header.InstanceNumber for header in headers] == [1, 2, 3, 4, 5]
    assert all(str(header.PatientName) == "Yamada^Tarou=山田^太郎" for header in headers)
    assert all("PixelData" not in header and header.StationName == "A" for header in headers)


def test_headers_share_nothing_that_can_be_changed(tmp_path):
    write_scan(tmp_path, Scan())
    first, second = source_of(load_volume(tmp_path)).datasets[:2]
    first.PatientID = "changed"
    first.ImageOrientationPatient[0] = 9
    assert second.PatientID == "A"
    assert source_of(load_volume(tmp_path)).datasets[0].PatientID == "A"
    assert second.ImageOrientationPatient[0] != 9
