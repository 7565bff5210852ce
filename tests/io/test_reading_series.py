"""Folders, files and zips as they are: grouped, chosen, or refused with the reason."""

from __future__ import annotations

import contextlib
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from refinefuse_med.errors import GeometryError, InputError, RefineFuseError
from refinefuse_med.io import archive, inspect_path, load_volume
from refinefuse_med.volume import Keys, modality_of, source_of
from tests.io.corpus import (
    AXIAL,
    SAGITTAL,
    Scan,
    make_slice,
    pet_tags,
    write_enhanced,
    write_nm,
    write_scan,
)


def warnings_of(volume) -> str:
    return " | ".join(source_of(volume).warnings)


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive_file:
        for file in folder.rglob("*"):
            archive_file.write(file, file.relative_to(folder))
    return path


def test_identical_copies_are_dropped_and_counted(tmp_path):
    scan = Scan()
    paths = write_scan(tmp_path, scan)
    shutil.copy(paths[1], tmp_path / "copy.dcm")
    volume = load_volume(tmp_path)
    assert volume.shape[-1] == scan.slices
    assert "1 duplicate files were left out" in warnings_of(volume)


def test_different_images_with_one_uid_are_refused(tmp_path):
    scan = Scan()

    def same_uid(ds, k):
        if k < 2:
            ds.SOPInstanceUID = "1.2.3.4"

    write_scan(tmp_path, scan, same_uid)
    with pytest.raises(InputError, match="SOPInstanceUID of another file"):
        load_volume(tmp_path)


def test_truncated_pixels_are_refused_by_the_name_of_the_file(tmp_path):
    path = write_scan(tmp_path, Scan())[3]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"{path.name}: truncated: 106 of 126 bytes"):
        load_volume(tmp_path)


@pytest.mark.parametrize("length", [0, 200, 500])
def test_a_slice_cut_short_is_not_silently_left_out(tmp_path, length):
    path = write_scan(tmp_path, Scan())[-1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=path.name):
        load_volume(tmp_path)


def test_other_files_in_the_folder_do_no_harm(tmp_path):
    write_scan(tmp_path, Scan())
    (tmp_path / "notes.txt").write_text("remember")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert load_volume(tmp_path).shape[-1] == 5


@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_without_preamble_is_read(tmp_path, implicit):
    scan = Scan()
    for path in write_scan(tmp_path, scan):
        ds = dcmread(path)
        del ds.file_meta
        ds.preamble = None
        ds.save_as(path, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_allclose(load_volume(tmp_path).numpy()[0], scan.truth(), atol=0.026)


def test_a_text_that_begins_like_nothing_known_is_refused_in_one_line(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_text("this is no scan\n" * 40)
    with pytest.raises(InputError, match="no volume: not a DICOM file"):
        load_volume(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        (
            {"SOPClassUID": SecondaryCaptureImageStorage, "ImagePositionPatient": None},
            "secondary capture",
        ),
        ({"Modality": "US"}, "modality US"),
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
    ],
)
def test_what_is_no_scan_is_refused_with_its_reason(tmp_path, change, reason):
    write_scan(tmp_path, Scan(tags=change))
    with pytest.raises(InputError, match=reason):
        load_volume(tmp_path)


def test_a_localizer_inside_a_series_is_set_apart(tmp_path):
    scan = Scan(orientation=AXIAL)
    write_scan(tmp_path, scan)
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    other = Scan(orientation=SAGITTAL, series_uid=scan.series_uid, tags=tags)
    make_slice(other, 0).save_as(tmp_path / "localizer.dcm")
    np.testing.assert_allclose(load_volume(tmp_path).numpy()[0], scan.truth(), atol=0.026)


def test_a_series_of_two_patients_is_refused(tmp_path):
    def rename(ds, k):
        ds.PatientID = "AB"[k % 2]

    write_scan(tmp_path, Scan(), rename)
    with pytest.raises(InputError, match="more than one patient"):
        load_volume(tmp_path)


def test_of_two_patients_none_is_chosen_unasked(tmp_path):
    scans = [Scan(patient=name) for name in "AB"]
    for scan in scans:
        write_scan(tmp_path / scan.patient, scan)
    with pytest.raises(InputError, match="2 patients; name the series with --anatomical-series"):
        load_volume(tmp_path, role="anatomical")
    volume = load_volume(tmp_path, series_uid=scans[1].series_uid)
    assert volume.meta[Keys.SERIES_INSTANCE_UID] == scans[1].series_uid


def test_messages_hold_no_patient(tmp_path):
    for name in ("Secret1", "Secret2"):
        write_scan(tmp_path / name[-1], Scan(patient=name))
    with pytest.raises(InputError) as caught:
        load_volume(tmp_path)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("role", "modalities", "chosen"),
    [
        ("anatomical", "MR CT PT", "MR"),
        ("functional", "MR CT PT", "PT"),
        ("anatomical", "CT PT", "CT"),
        ("functional", "MR CT", "CT"),
    ],
)
def test_the_role_decides_which_series_is_read(tmp_path, role, modalities, chosen):
    scans = {name: Scan(modality=name) for name in modalities.split()}
    for name, scan in scans.items():
        write_scan(tmp_path / name, scan)
    volume = load_volume(tmp_path, role=role)
    assert modality_of(volume) == chosen
    assert scans[chosen].series_uid in warnings_of(volume)
    assert f"--{role}-series UID takes another" in warnings_of(volume)


def test_of_two_series_alike_the_one_of_more_slices_is_read(tmp_path):
    for count in (4, 6, 5):
        write_scan(tmp_path / str(count), Scan(slices=count))
    assert load_volume(tmp_path).shape[-1] == 6


def test_a_modality_that_is_not_there_is_refused(tmp_path):
    write_scan(tmp_path, Scan())
    with pytest.raises(InputError, match="no series of modality PT, found MR"):
        load_volume(tmp_path, modality="PT")
    with pytest.raises(InputError, match=r"no series 9\.9"):
        load_volume(tmp_path, series_uid="9.9")


def test_where_no_series_is_readable_the_largest_says_why(tmp_path):
    write_scan(tmp_path / "scan", Scan(orientation=AXIAL))[2].unlink()
    write_scan(tmp_path / "l", Scan(slices=2, tags={"ImageType": ["ORIGINAL", "P", "LOCALIZER"]}))
    with pytest.raises(GeometryError, match=r"none of 2 series .* a gap of 8.00 mm"):
        load_volume(tmp_path)


def test_one_slice_stands_for_its_series(tmp_path):
    scan = Scan()
    path = write_scan(tmp_path, scan)[2]
    write_scan(tmp_path, Scan(slices=9, orientation=AXIAL), lambda ds, k: None)
    path = write_scan(tmp_path / "own", scan)[2]
    volume = load_volume(path)
    assert volume.shape[-1] == scan.slices
    assert "its series of 5 files" in warnings_of(volume)


def test_a_multi_frame_file_stands_for_itself(tmp_path):
    path = write_enhanced(tmp_path / "one.dcm", Scan(), [0, 1, 2])
    write_enhanced(tmp_path / "other.dcm", Scan(), [0, 1, 2, 3])
    assert load_volume(path).shape[-1] == 3


def test_a_zip_reads_as_its_folder(tmp_path):
    scan = Scan()
    write_scan(tmp_path / "study" / "series", scan)
    volume = load_volume(zipped(tmp_path / "study", tmp_path / "study.zip"))
    np.testing.assert_allclose(volume.numpy()[0], scan.truth(), atol=0.026)
    assert source_of(volume).path == str(tmp_path / "study.zip")


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "/evil.dcm", "a/../../evil", "C:\\evil", "a\\..\\b"]
)
def test_a_zip_that_points_outside_is_refused(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, b"x")
    with pytest.raises(InputError, match="points outside"):
        load_volume(path)


def test_a_zip_over_a_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(2**20))
        file.writestr("b", b"x")
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    with pytest.raises(InputError, match="2 files in the zip"):
        load_volume(path)
    monkeypatch.setattr(archive, "MAX_FILES", 10)
    monkeypatch.setattr(archive, "RATIO_FLOOR", 1000)
    with pytest.raises(InputError, match="grows more than"):
        load_volume(path)
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="unpacks to more than"):
        load_volume(path)


def test_a_damaged_zip_is_refused(tmp_path):
    write_scan(tmp_path / "s", Scan())
    path = zipped(tmp_path / "s", tmp_path / "s.zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="zip file is damaged"):
        load_volume(path)


@pytest.mark.parametrize("kind", ["classic", "enhanced", "nuclear"])
def test_damaged_bytes_never_end_in_a_traceback(tmp_path, kind):
    path = tmp_path / "im.dcm"
    if kind == "classic":
        whole = write_scan(tmp_path / "s", Scan(modality="PT", tags=pet_tags()))[0].read_bytes()
    elif kind == "enhanced":
        whole = write_enhanced(path, Scan(), [0, 1, 2]).read_bytes()
    else:
        whole = write_nm(path, Scan(modality="NM")).read_bytes()
    random = np.random.default_rng(0)
    folder = tmp_path / "damaged"
    folder.mkdir()
    for trial in range(40):
        damaged = bytearray(whole[: random.integers(len(whole))] if trial % 3 == 0 else whole)
        for place in random.integers(130, len(whole), 8 * (trial % 3)):
            damaged[place] = random.integers(256)
        (folder / "im.dcm").write_bytes(damaged)
        with warnings.catch_warnings():
            # Those of pydicom would show the user parts of the header.
            warnings.simplefilter("error")
            found = inspect_path(folder)
            with contextlib.suppress(RefineFuseError):
                load_volume(folder)
        assert all("\n" not in entry.reason for entry in found.series)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None])
def test_an_empty_folder_or_none_is_refused(tmp_path, make):
    make(tmp_path / "study")
    with pytest.raises(RefineFuseError, match=r"study: (the folder is empty|no such file)"):
        load_volume(tmp_path / "study")
