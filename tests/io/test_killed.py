"""A process that is killed while it writes leaves the whole folder, or none."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pydicom
import pytest

from refinefuse_med.io import AtomicFolder, Shown, write_dicom, write_json, write_nifti
from refinefuse_med.volume import Grid, grid_of
from tests.io.dicom_sources import mr_source, pet_source
from tests.io.objects.helpers import colour, functional

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def _write(out, affine, if_exists):
    fused = colour(affine)
    with AtomicFolder(out, if_exists) as folder:
        write_nifti(fused, folder / "fused.nii.gz")
        write_dicom(
            folder / "dicom",
            fused,
            functional(affine, "PT", "SUVbw", pet_source(Grid((4, 4, 3), np.eye(4)))),
            mr_source(grid_of(fused)),
            matrix_fixed_to_moving_lps=np.eye(4),
            shown=Shown((0, 900), (0, 8)),
        )
        write_json({"whole": True}, folder / "result.json")


def _in_child(work, kill_at):
    """Do `work` in a child that kills itself at its `kill_at`-th touch of the disk.

    Returns the number of touches, where it lived to the end.
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


@pytest.mark.parametrize("before", ["nothing", "an older result"])
def test_killed_at_any_touch_of_the_disk(tmp_path, oblique, before):
    def run(folder, kill_at):
        out = folder / "out"
        folder.mkdir()
        if before != "nothing":
            out.mkdir()
            (out / "old.txt").write_text("old")
        return out, _in_child(lambda: _write(out, oblique, "overwrite"), kill_at)

    out, touches = run(tmp_path / "whole", 0)
    assert (out / "result.json").exists()
    assert touches > 60
    # The last ones are where the folder is moved into its place.
    for kill_at in {*range(1, touches, 37), *range(touches - 4, touches + 1)}:
        out, said = run(tmp_path / str(kill_at), kill_at)
        assert said is None
        if not out.exists():
            continue
        names = {path.name for path in out.iterdir()}
        if names == {"old.txt"}:
            continue
        assert names == {"fused.nii.gz", "dicom", "result.json"}
        files = list((out / "dicom").rglob("*.dcm"))
        assert len(files) == 14
        for path in files:
            pydicom.dcmread(path)
