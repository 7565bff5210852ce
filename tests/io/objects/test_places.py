"""Markers in known places, as other programs find them in what is written."""

from __future__ import annotations

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from tests.io.objects.helpers import MARKERS, NIFTI, colour, headers_of, where


def _assert_same_places(found: dict[int, np.ndarray], affine: np.ndarray) -> None:
    assert sorted(found) == sorted(MARKERS)
    for value, voxel in MARKERS.items():
        np.testing.assert_allclose(found[value], where(affine, voxel), atol=1e-3)


def test_pydicom_finds_every_marker_in_its_place(tmp_path, affine):
    volume = colour(affine)
    found = {}
    for header in headers_of(write_secondary_capture(volume, NIFTI, tmp_path)):
        # PS3.3 C.7.6.2.1.1
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        between_rows, between_columns = map(float, header.PixelSpacing)
        red = header.pixel_array[..., 0]
        for r, c in np.argwhere(red):
            lps = np.array(header.ImagePositionPatient, dtype=float)
            lps = lps + row * between_columns * c + column * between_rows * r
            found[int(red[r, c])] = lps * (-1, -1, 1)
    _assert_same_places(found, affine)


def test_itk_finds_every_marker_in_its_place(tmp_path, affine):
    write_secondary_capture(colour(affine), NIFTI, tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    red = sitk.GetArrayFromImage(image)[..., 0]
    found = {
        int(red[k, j, i]): np.array(image.TransformIndexToPhysicalPoint((int(i), int(j), int(k))))
        * (-1, -1, 1)
        for k, j, i in np.argwhere(red)
    }
    _assert_same_places(found, affine)


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dcm2niix_finds_every_marker_in_its_place(tmp_path, affine):
    write_secondary_capture(colour(affine), NIFTI, tmp_path / "in")
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["dcm2niix", "-f", "a", "-o", str(tmp_path / "out"), str(tmp_path / "in")],
        check=True,
        capture_output=True,
    )
    (path,) = (tmp_path / "out").glob("*.nii")
    image = nib.load(path)
    red = np.asarray(image.dataobj)["R"]
    found = {int(red[tuple(v)]): where(image.affine, v) for v in np.argwhere(red)}
    _assert_same_places(found, affine)
