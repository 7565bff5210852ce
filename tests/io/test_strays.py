"""A damaged file costs what it may belong to, and never a slice without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.io import load_volume
from refinefuse_med.volume import source_of
from tests.io.case import in_place
from tests.io.corpus import AXIAL, Scan, make_slice


def write(folder, scan, names, syntax=ExplicitVRLittleEndian):
    """Write the slices of a scan under given names, in the order of their places."""
    folder.mkdir(exist_ok=True)
    paths = [folder / name for name in names]
    for k, path in enumerate(paths):
        ds = make_slice(scan, k)
        if syntax == RLELossless:
            ds.compress(RLELossless)
        else:
            ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return paths


@pytest.fixture
def two(tmp_path):
    """An MR and a CT in one folder, their names mixed; the paths of each."""
    return {
        modality: write(
            tmp_path / "in",
            Scan(modality, orientation=AXIAL),
            [f"{2 * k + number}_.dcm" for k in range(5)],
        )
        for number, modality in enumerate(("MR", "CT"))
    }


def cut(path, tag, before=0):
    """Cut a file at an element, so many bytes before it."""
    content = path.read_bytes()
    path.write_bytes(content[: content.index(tag) - before])


def read(path, modality):
    volume = load_volume(path, modality=modality)
    in_place(volume)
    assert volume.shape[-1] == 5
    return " | ".join(source_of(volume).warnings)


def refused(path, modality):
    with pytest.raises(RefineFuseError) as caught:
        read(path, modality)
    return str(caught.value)


PATIENT, STUDY, SERIES, POSITION = (
    b"\x10\x00\x10\x00", b"\x20\x00\x0d\x00", b"\x20\x00\x0e\x00", b"\x20\x00\x32\x00"
)  # fmt: skip


@pytest.mark.parametrize("tag", [POSITION, STUDY, PATIENT])
def test_what_remains_of_a_header_tells_where_it_belongs(two, tag):
    cut(two["CT"][-1], tag)
    folder = two["CT"][0].parent
    assert "damaged" not in read(folder, "MR")
    assert "damaged file lies among the slices" in refused(folder, "CT")


def test_a_uid_that_was_cut_is_not_believed(tmp_path):
    scan, other = (Scan(orientation=AXIAL) for _ in range(2))
    folder = tmp_path / "in"
    paths = write(folder, scan, [f"{2 * k}_.dcm" for k in range(5)])
    write(folder, other, [f"{2 * k + 1}_.dcm" for k in range(5)])
    cut(paths[-1], POSITION, before=13)  # within the UID of its series
    for uid in (scan.series_uid, other.series_uid):
        with pytest.raises(InputError, match="damaged file lies among the slices"):
            load_volume(folder, series_uid=uid)


@pytest.mark.parametrize("content", [b"", bytes(900), b"<html>gone</html>"])
def test_nothing_that_remains_may_be_anything(two, content):
    two["CT"][-1].write_bytes(content)
    for modality in ("MR", "CT"):
        assert "damaged file lies among the slices" in refused(two["CT"][0].parent, modality)


@pytest.mark.parametrize(
    ("counts", "is_whole"),
    [({"ImagesInAcquisition": 5}, True),
     ({"NumberOfSeriesRelatedInstances": 5}, True),
     ({"NumberOfSlices": 5}, True),
     ({"NumberOfSlices": 5, "NumberOfTimeSlices": 2}, False),
     ({"ImagesInAcquisition": 5, "NumberOfSeriesRelatedInstances": 6}, False),
     ({"ImagesInAcquisition": 6}, False),
     ({"ImagesInAcquisition": 4}, False),
     ({}, False)],
)  # fmt: skip
def test_a_series_that_counts_itself_whole_is_read(tmp_path, counts, is_whole):
    scan = Scan(orientation=AXIAL, tags=counts)
    folder = tmp_path / "in"
    write(folder, scan, [f"{k}_.dcm" for k in range(5)])
    (folder / "other.dcm").touch()
    if is_whole:
        said = read(folder, None)
        assert "1 file beside it damaged: the series is whole without, by the 5 images" in said
    else:
        assert "damaged file lies" in refused(folder, None)


def test_a_count_of_one_acquisition_says_nothing_of_several(tmp_path):
    scan = Scan(orientation=AXIAL, tags={"ImagesInAcquisition": 5})
    paths = write(tmp_path / "in", scan, [f"{k}_.dcm" for k in range(5)])
    ds = make_slice(scan, 4)
    ds.AcquisitionNumber = 2
    ds.save_as(paths[4])
    (tmp_path / "in" / "other.dcm").touch()
    assert "damaged file lies" in refused(tmp_path / "in", None)


def test_numbered_names_tell_the_series_of_an_empty_file(tmp_path):
    folder = tmp_path / "in"
    write(folder, Scan("MR", orientation=AXIAL), [f"IM{k}" for k in range(10, 15)])
    paths = write(folder, Scan("CT", orientation=AXIAL), [f"IM{k}" for k in range(16, 22)])
    paths[3].write_bytes(b"")
    assert "1 file beside it damaged: of another series, by name" in read(folder, "MR")
    assert "damaged file lies" in refused(folder, "CT")
    (folder / "IM15").touch()  # the last of the one or the first of the other
    assert "damaged file lies" in refused(folder, "MR")


@pytest.mark.parametrize("ending", ["", ".part", ".tmp"])
@pytest.mark.parametrize("names", ["1.2.840.77.{}", "IM{}", "IM{}.DCM", "{}"])
@pytest.mark.parametrize("content", [b"", bytes(900)])
def test_an_end_slice_is_missed_whatever_its_name(tmp_path, names, ending, content):
    paths = write(tmp_path / "in", Scan(orientation=AXIAL), [names.format(k) for k in range(6)])
    paths[-1].unlink()
    Path(f"{paths[-1]}{ending}").write_bytes(content)
    assert "damaged file lies among the slices" in refused(tmp_path / "in", None)


@pytest.mark.parametrize("name", ["README", "notes.txt", "IM1.jpg", ".gitkeep", "VERSION2"])
def test_other_files_cost_nothing(tmp_path, name):
    write(tmp_path / "in", Scan(orientation=AXIAL), [f"IM{k}" for k in range(5)])
    (tmp_path / "in" / name).write_text("" if name == ".gitkeep" else "a text")
    assert "damaged" not in read(tmp_path / "in", None)


@pytest.mark.parametrize("content", [b"", bytes(900), "cut"])
def test_a_slice_in_a_folder_of_its_own_is_missed_too(tmp_path, content):
    paths = write(tmp_path / "in", Scan(orientation=AXIAL), [f"{k}" for k in range(6)])
    for number, path in enumerate(paths):
        home = tmp_path / "in" / f"IM{number}"
        home.mkdir()
        if number == 5:
            path.write_bytes(path.read_bytes()[:300] if content == "cut" else content)
        path.rename(home / "image.dcm")
    assert "damaged file lies among the slices" in refused(tmp_path / "in", None)


def test_a_link_to_a_slice_that_was_not_fetched_is_a_slice_that_lacks(tmp_path):
    paths = write(tmp_path / "in", Scan(orientation=AXIAL), [f"IM{k}.dcm" for k in range(6)])
    paths[-1].unlink()
    paths[-1].symlink_to(tmp_path / "nowhere")
    assert "damaged file lies among the slices" in refused(tmp_path / "in", None)
    paths[-1].rename(tmp_path / "in" / "other.dcm")
    assert "damaged" not in read(tmp_path / "in", None)


@pytest.mark.parametrize("tag", [PATIENT, b"\x28\x00\x30\x00", b"\x28\x00\x03\x01", None])
def test_a_damaged_copy_of_an_intact_slice_costs_nothing(tmp_path, tag):
    paths = write(tmp_path / "in", Scan(orientation=AXIAL), [f"IM{k}" for k in range(5)])
    copy = tmp_path / "in" / "copy.dcm"
    shutil.copy(paths[-1], copy)
    if tag is None:
        copy.write_bytes(copy.read_bytes()[:-10])
    else:
        cut(copy, tag)
    said = read(tmp_path / "in", None)
    assert ("a damaged copy" in said) == (tag is None or tag == b"\x28\x00\x03\x01")


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless],
)
def test_an_end_slice_is_never_lost_wherever_its_file_is_cut(tmp_path, syntax):
    folder = tmp_path / "in"
    paths = write(folder, Scan(orientation=AXIAL), [f"{k}_x.dcm" for k in range(6)], syntax)
    write(folder, Scan("CT", orientation=AXIAL), [f"{k}_y.dcm" for k in range(3)], syntax)
    whole = paths[-1].read_bytes()
    ending = 1 if syntax == RLELossless else 0  # an even length, filled up
    for length in range(0, len(whole) - ending - 8, 5):
        paths[-1].write_bytes(whole[:length])
        with pytest.raises(RefineFuseError):
            load_volume(folder, modality="MR")
