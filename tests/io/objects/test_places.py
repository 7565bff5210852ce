"""Markers in known places, as other programs find them in every image that is written."""

from __future__ import annotations

import shutil

import pydicom
import pytest

from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import Grid
from tests.io.dicom_sources import mr_source
from tests.io.objects.helpers import SHAPE, colour
from tests.io.objects.readers import KINDS, assert_in_place, by_dcm2niix, write_markers


@pytest.mark.parametrize(
    ("reader", "kind"),
    [
        pytest.param(reader, kind, id=f"{reader.__name__[3:]}-{kind}")
        for reader, kinds in KINDS.items()
        for kind in kinds
    ],
)
def test_every_marker_is_found_in_its_place(tmp_path, affine, reader, kind):
    if reader is by_dcm2niix and shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed")
    assert_in_place(reader(write_markers(kind, affine, tmp_path / "dicom")), affine)


def test_patient_position_says_how_the_patient_lay(tmp_path, oblique):
    source = mr_source(Grid(SHAPE, oblique), PatientPosition="HFDR")
    path = write_secondary_capture(colour(oblique), source, tmp_path)[0]
    assert pydicom.dcmread(path).PatientPosition == "HFDR"
