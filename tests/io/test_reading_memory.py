"""Volumes are read slice by slice: little more memory than they take themselves."""

from __future__ import annotations

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io import limits, load_volume
from tests.io.corpus import AXIAL, Scan, write_enhanced, write_scan

LARGEST = 2.2
"""Peak of memory as a multiple of the volume's own."""


def peak_of(path) -> float:
    load_volume(path)  # what is imported on the way is not the volume's
    tracemalloc.start()
    try:
        volume = load_volume(path)
        return tracemalloc.get_traced_memory()[1] / (volume.numel() * 4)
    finally:
        tracemalloc.stop()


def write_big_series(folder):
    scan = Scan("CT", columns=128, rows=128, slices=100, orientation=AXIAL)
    write_scan(folder, scan)
    return folder


def write_big_enhanced(folder):
    scan = Scan(columns=256, rows=256, slices=64)
    folder.mkdir()
    return write_enhanced(folder / "e.dcm", scan, list(range(64))[::-1])


def write_tilted(folder):
    scan = Scan("CT", columns=128, rows=128, slices=100, orientation=AXIAL, spacing=(1, 1, 2))

    def tilt(ds, k):
        ds.ImagePositionPatient[1] += 0.5 * k

    write_scan(folder, scan, tilt)
    return folder


def write_nifti(folder):
    folder.mkdir()
    data = np.random.default_rng(0).integers(0, 99, (200, 200, 80)).astype(np.int16)
    image = nib.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, folder / "t1.nii.gz")
    return folder / "t1.nii.gz"


@pytest.mark.parametrize("write", [write_big_series, write_big_enhanced, write_tilted, write_nifti])
def test_reading_takes_little_more_memory_than_the_volume(tmp_path, write):
    assert peak_of(write(tmp_path / "scan")) < LARGEST


def test_a_volume_too_large_for_the_machine_is_refused_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_VOLUME_BYTES", 1000)
    write_scan(tmp_path, Scan())
    with pytest.raises(InputError, match=r"a volume of 9 x 7 x 5 voxels takes .* the limit here"):
        load_volume(tmp_path)
