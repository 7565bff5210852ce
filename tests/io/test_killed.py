"""Whatever is written, killed at any moment it leaves the whole or nothing; full disks are told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from refinefuse_med.errors import OutputError
from refinefuse_med.io import (
    AtomicFolder,
    DicomOptions,
    Shown,
    write_dicom,
    write_itk,
    write_json,
    write_nifti,
    write_report,
    write_transform,
)
from refinefuse_med.volume import Grid, make_volume
from tests.conftest import oblique_affine
from tests.io.dicom_sources import mr_source, pet_source
from tests.io.objects.helpers import SHAPE, colour, functional

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
AFFINE = oblique_affine()
COLOURS = np.zeros((256, 3), np.uint8)


# Of one size in every run.
ANATOMICAL = mr_source(Grid(SHAPE, AFFINE))
MOVING = pet_source(Grid((4, 4, 3), np.eye(4)))


def _dicom(folder: Path, **options) -> None:
    fused = colour(AFFINE)
    more = {k: options.pop(k) for k in ("displacement", "contribution") if k in options}
    write_dicom(
        folder / "dicom",
        fused,
        functional(AFFINE, "PT", "SUVbw", MOVING),
        ANATOMICAL,
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 900), (0, 8), COLOURS),
        options=DicomOptions(seed="a", **options),
        **more,
    )


def _maps(folder: Path) -> None:
    share = make_volume(np.full(SHAPE, 0.5), AFFINE, units="ratio")
    _dicom(folder, multiframe=True, quantitative=True, colour_bar=True, contribution=share)


def _others(folder: Path) -> None:
    write_transform(np.eye(4), folder / "transform.tfm")
    write_report(folder / "report.html", {"inputs": {}, "warnings": []})


WRITERS = {
    "nifti": lambda folder: write_nifti(colour(AFFINE), folder / "a.nii.gz"),
    "mha": lambda folder: write_itk(functional(AFFINE, "PT", "SUVbw"), folder / "a.mha"),
    "nrrd": lambda folder: write_itk(functional(AFFINE, "PT", "SUVbw"), folder / "a.nrrd"),
    "slices": _dicom,
    "maps": _maps,
    "deformed": lambda folder: _dicom(folder, displacement=lambda points: points * 0),
    "transform and report": _others,
}


def _write(kind: str, out: Path) -> None:
    with AtomicFolder(out, "overwrite") as folder:
        WRITERS[kind](folder)
        write_json({"whole": True}, folder / "result.json")


def _in_child(work, *, kill_at: int = 0, most_bytes: int | None = None) -> int | None:
    """Do `work` in a child that is killed at its `kill_at`-th touch of the disk.

    Or in the midst of the first file that grows beyond `most_bytes`, in whatever language it is
    written. Returns the number of touches, where it lived to the end.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        touches = 0

        def count(event, _):
            nonlocal touches
            if event in TOUCHES:
                touches += 1
                if touches == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            if most_bytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            sys.addaudithook(count)
            work()
            os.write(writer, str(touches).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    said = os.read(reader, 100)
    os.close(reader)
    return int(said) if said else None


def _sizes(out: Path) -> dict[str, int]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.stat().st_size for path in files}


def _read(out: Path) -> None:
    for path in out.rglob("*"):
        if path.suffix == ".dcm":
            pydicom.dcmread(path)
        elif path.suffix == ".gz":
            np.asarray(nib.load(path).dataobj)
        elif path.suffix in (".mha", ".nrrd"):
            sitk.ReadImage(str(path))


@pytest.fixture(scope="module", params=WRITERS)
def whole(request, tmp_path_factory):
    """What a writer leaves where nobody kills it, and how often it touches the disk."""
    out = tmp_path_factory.mktemp("whole") / "out"
    if request.param in ("slices", "maps", "deformed"):  # imports what the children then share
        WRITERS[request.param](tmp_path_factory.mktemp("first"))
    touches = _in_child(lambda: _write(request.param, out))
    assert touches
    _read(out)
    return request.param, _sizes(out), touches


@pytest.mark.parametrize("before", ["nothing", "an older result"])
def test_killed_at_any_touch_of_the_disk(tmp_path, whole, before):
    kind, expected, touches = whole
    # The last ones are where the folder is moved into its place.
    for kill_at in {*range(1, touches, max(1, touches // 5)), *range(touches - 4, touches + 1)}:
        out = tmp_path / str(kill_at) / "out"
        _begin(out, before)
        # Flushing, too, opens files: a run may touch the disk a little less often than another.
        _in_child(lambda out=out: _write(kind, out), kill_at=kill_at)
        _assert_whole_or_as_before(out, expected)


@pytest.mark.parametrize("before", ["nothing", "an older result"])
def test_killed_in_the_midst_of_a_file(tmp_path, whole, before):
    kind, expected, _ = whole
    for most_bytes in {0, 1, 100, *(size - 1 for size in sorted(expected.values())[-2:])}:
        out = tmp_path / str(most_bytes) / "out"
        _begin(out, before)
        said = _in_child(lambda out=out: _write(kind, out), most_bytes=most_bytes)
        assert said is None
        assert _sizes(out) == ({"old.txt": 3} if before != "nothing" else {})


def _begin(out: Path, before: str) -> None:
    out.parent.mkdir()
    if before != "nothing":
        out.mkdir()
        (out / "old.txt").write_text("old")


def _assert_whole_or_as_before(out: Path, expected: dict[str, int]) -> None:
    found = _sizes(out)
    # An old result is moved aside just before the new one takes its place.
    if found not in ({}, {"old.txt": 3}):
        assert found == expected
        _read(out)


@pytest.fixture
def disk(tmp_path):
    """Mount a file system of a few bytes, or a read-only one."""
    mounted = []

    def mount(*options: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("nobody may mount a file system here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_is_told_in_one_line_and_left_empty(disk, whole):
    kind, expected, _ = whole
    # In whole pages: the first half fits.
    room = disk(f"size={max(4096, sum(expected.values()) // 2)}")
    with pytest.raises(OutputError, match="disk is full") as caught:
        _write(kind, room / "out")
    assert "\n" not in str(caught.value)
    assert list(room.iterdir()) == []


def test_a_read_only_disk_is_told_in_one_line(disk, whole):
    room = disk("ro")
    with pytest.raises(OutputError, match=r"read-only|no permission") as caught:
        _write(whole[0], room / "out")
    assert "\n" not in str(caught.value)
