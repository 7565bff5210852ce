"""Markers in known places, written as every kind of image, and how other programs find them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import SimpleITK as sitk

from refinefuse_med.io import load_volume
from refinefuse_med.io.objects.multiframe import write_multiframe_capture
from refinefuse_med.io.objects.parametric_map import FUNCTIONAL, write_parametric_map
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import Grid, SourceHeader, make_volume
from tests.io.dicom_sources import ct_source, nm_source, pet_source
from tests.io.objects.helpers import MARKERS, NIFTI, SHAPE, colour, headers_of, where

SOURCES = {
    "PT": ("SUVbw", pet_source),
    "CT": ("HU", ct_source),
    "NM": ("counts", nm_source),
}
Found = dict[int, np.ndarray]


def _scalar(affine, modality="OT", units="a.u.", source=None):
    data = np.zeros(SHAPE, np.float32)
    for value, voxel in MARKERS.items():
        data[voxel] = value
    return make_volume(data, affine, modality=modality, units=units, source=source)


def write_markers(kind: str, affine, folder: Path, anatomical: SourceHeader = NIFTI) -> list[Path]:
    folder.mkdir()
    if kind == "slices":
        return write_secondary_capture(colour(affine), anatomical, folder)
    if kind == "multi-frame":
        return [write_multiframe_capture(colour(affine), anatomical, folder / "a.dcm")]
    if kind == "multi-frame grey":
        grey = _scalar(affine) / 255
        return [write_multiframe_capture(grey, anatomical, folder / "a.dcm")]
    if kind == "map":
        volume = _scalar(affine, "PT", "SUVbw")
        return [write_parametric_map(volume, anatomical, folder / "a.dcm", FUNCTIONAL)]
    units, make = SOURCES[kind]
    source = make(Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0])))
    return write_registered_series(_scalar(affine, kind, units, source), anatomical, folder)


def _markers(array: np.ndarray, affine_ras: np.ndarray, scale: float = 1.0) -> Found:
    """Where the markers lie in an array of I, J, K and perhaps colours."""
    values = array[..., 0] if array.ndim == 4 else array
    values = np.rint(np.asarray(values, dtype=float) * scale).astype(int)
    return {int(values[tuple(v)]): where(affine_ras, v) for v in np.argwhere(values)}


def by_pydicom(paths: list[Path]) -> Found:
    found = {}
    for header in headers_of(paths):
        # PS3.3 C.7.6.2.1.1
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        between_rows, between_columns = map(float, header.PixelSpacing)
        pixels = header.pixel_array
        slope = float(header.get("RescaleSlope", 1))
        for r, c in np.argwhere(pixels if pixels.ndim == 2 else pixels[..., 0]):
            lps = np.array(header.ImagePositionPatient, dtype=float)
            lps = lps + row * between_columns * c + column * between_rows * r
            value = np.atleast_1d(pixels[r, c])[0] * slope
            found[round(value)] = lps * (-1, -1, 1)
    return found


def by_highdicom(paths: list[Path]) -> Found:
    if len(paths) == 1:
        volume = hd.imread(paths[0]).get_volume(apply_real_world_transform=False)
    else:
        volume = hd.get_volume_from_series(headers_of(paths))
    # highdicom indexes slice, row, column, and speaks LPS.
    array = np.moveaxis(volume.array, (0, 1, 2), (2, 1, 0))
    affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
    return _markers(array, affine, 255 / 65535 if array.max() > 60000 else 1.0)


def by_itk(paths: list[Path]) -> Found:
    if len(paths) == 1:
        image = sitk.ReadImage(str(paths[0]))
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(paths[0].parent)))
        image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    values = array[..., 0] if array.ndim == 4 else array
    scale = 255 / 65535 if values.max() > 60000 else 1.0
    return {
        round(float(values[k, j, i]) * scale): np.array(
            image.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))
        )
        * (-1, -1, 1)
        for k, j, i in np.argwhere(values)
    }


def by_dcm2niix(paths: list[Path]) -> Found:
    out = paths[0].parent.parent / "nifti"
    out.mkdir()
    command = ["dcm2niix", "-f", "a", "-o", str(out), str(paths[0].parent)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.nii")
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    array = data["R"] if data.dtype.names else image.get_fdata()
    return _markers(array, image.affine, 255 / 65535 if array.max() > 60000 else 1.0)


def by_ourselves(paths: list[Path]) -> Found:
    volume = load_volume(paths[0].parent)
    array = volume.numpy()[0]
    scale = 255 / 65535 if array.max() > 60000 else 1.0
    return _markers(array, volume.affine.numpy(), scale)


KINDS = {
    by_pydicom: ("slices", "PT", "CT"),
    by_highdicom: ("slices", "multi-frame", "multi-frame grey", "PT", "CT", "map"),
    by_itk: ("slices", "multi-frame", "multi-frame grey", "PT", "CT", "NM"),
    by_dcm2niix: ("slices", "multi-frame", "multi-frame grey", "PT", "CT", "NM"),
    by_ourselves: ("slices", "multi-frame", "multi-frame grey", "PT", "CT", "NM", "map"),
}
"""Which objects each program reads."""


def assert_in_place(found: Found, affine: np.ndarray) -> None:
    assert sorted(found) == sorted(MARKERS)
    for value, voxel in MARKERS.items():
        np.testing.assert_allclose(found[value], where(affine, voxel), atol=1e-3)
