"""Markers in known places, as other programs find them in every image that is written."""

from __future__ import annotations

import shutil

import pydicom
import pytest

from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import Grid
from tests.io.dicom_sources import mr_source
from tests.io.objects.conftest import AFFINES
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


LEADS_TO = {
    "oblique": ["RAH", "RPF"],
    "axial": ["L", "P"],
    "flipped": ["L", "P"],
    "sagittal": ["P", "F"],
    "coronal": ["R", "F"],
    "decubitus": ["P", "R"],
}


@pytest.mark.parametrize("name", AFFINES)
def test_patient_orientation_names_where_rows_and_columns_lead(tmp_path, name):
    affine = AFFINES[name]
    path = write_secondary_capture(colour(affine), mr_source(Grid(SHAPE, affine)), tmp_path)[0]
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert list(header.PatientOrientation) == LEADS_TO[name]
