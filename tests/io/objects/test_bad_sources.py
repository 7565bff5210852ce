"""Headers that lack or garble what the objects need, and disks that do not want them."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import OutputError
from refinefuse_med.io import DicomOptions, Shown, write_dicom, write_itk
from refinefuse_med.volume import Grid, grid_of
from tests.io.dicom_sources import mr_source, pet_source
from tests.io.objects.helpers import colour, functional

ALL = DicomOptions(multiframe=True, quantitative=True, colour_bar=True)
COLOURS = np.zeros((256, 3), np.uint8)


def _write(folder, affine, options=None, moving=None, **changes):
    fused = colour(affine)
    volume = functional(
        affine, "PT", "SUVbw", pet_source(Grid((4, 4, 3), np.eye(4)), **(moving or {}))
    )
    return write_dicom(
        folder,
        fused,
        volume,
        mr_source(grid_of(fused), **changes),
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 900), (0, 8), COLOURS),
        options=options,
    )


@pytest.mark.parametrize("options", [None, ALL], ids=["slices", "maps"])
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Nguyễn^Thị"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_other_scripts_survive_in_every_object(tmp_path, oblique, charset, name, options):
    paths = _write(tmp_path, oblique, options, SpecificCharacterSet=charset, PatientName=name)
    assert {str(pydicom.dcmread(path).PatientName) for path in paths} == {name}


@pytest.mark.parametrize("options", [None, ALL], ids=["slices", "maps"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_garbled_headers_do_not_hinder_and_are_not_handed_on(tmp_path, oblique, options):
    paths = _write(
        tmp_path,
        oblique,
        options,
        PatientSex="FEMALE",
        PatientBirthDate="",
        PatientAge="seventy",
        StudyTime="noon",
        SeriesNumber=None,
        PatientWeight="1" * 20,
    )
    for header in map(pydicom.dcmread, paths):
        assert "PatientAge" not in header
        assert not header.StudyTime
        assert header.SeriesNumber >= 1


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID"])
@pytest.mark.parametrize("options", [None, ALL], ids=["slices", "maps"])
def test_sources_without_uids_are_not_referred_to(tmp_path, oblique, missing, options):
    paths = _write(tmp_path, oblique, options, moving={missing: None}, **{missing: None})
    assert {"registration.dcm", "blending.dcm"}.isdisjoint(path.name for path in paths)
    for header in map(pydicom.dcmread, paths):
        assert "Referenced SOP Instance UID" not in str(header)
        assert header.StudyInstanceUID


def test_frame_of_reference_that_no_header_has_is_begun_and_shared(tmp_path, oblique):
    paths = _write(tmp_path, oblique, FrameOfReferenceUID=None)
    uids = {pydicom.dcmread(path).FrameOfReferenceUID for path in paths}
    assert len(uids) == 1
    assert uids.pop().startswith("2.25.")


@contextmanager
def small_files():
    """A disk on which no file becomes longer than 300 bytes; pytest's own log is one, too."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("options", [None, ALL], ids=["slices", "maps"])
def test_a_disk_that_cannot_hold_it_is_told_in_one_line(tmp_path, oblique, options):
    with (
        pytest.raises(OutputError, match="cannot hold a file this large") as caught,
        small_files(),
    ):
        _write(tmp_path, oblique, options)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_full_disk_is_told_in_one_line(tmp_path, oblique, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        _write(tmp_path, oblique)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_itk_on_a_disk_that_cannot_hold_it(tmp_path, oblique):
    volume = functional(oblique, "PT", "SUVbw")
    with pytest.raises(OutputError) as caught, small_files():
        write_itk(volume, tmp_path / "a.mha")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path, oblique):
    (tmp_path / "fused").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        _write(tmp_path, oblique)
