"""Writing the slices of a derived DICOM series, each in its place in the patient."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from refinefuse_med.errors import OutputError
from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.objects.derived import code_item
from refinefuse_med.volume import Grid, SourceHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["save_instance", "write_slices"]

_DICOM_LETTERS: Final = {"S": "H", "I": "F"}
"""Axis codes that Patient Orientation spells otherwise: Head, Foot."""


def write_slices(
    series: Dataset,
    grid: Grid,
    pixels: NDArray[np.generic],
    folder: str | Path,
    *,
    source: SourceHeader | None = None,
) -> list[Path]:
    """Write one instance for each slice along K, as ``0001.dcm`` and so on.

    Parameters
    ----------
    series : Dataset
        From `derive_series`, with the attributes of its SOP class and of its pixels.
    grid : Grid
        Where the slices lie. Columns run along I and rows along J; K may run either way.
    pixels : array, shape (K, J, I) or (K, J, I, 3)
        Stored values.
    folder : Path
        Made where it does not exist.
    source : SourceHeader, optional
        Headers of the images on this grid, which the slices refer to.

    Returns
    -------
    list of Path
        In the order of K.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written.
    """
    grid.require_orthogonal()
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made ({error.strerror})", where=folder) from error
    headers = source.datasets if source is not None else ()
    paths = []
    for k, plane in enumerate(pixels):
        instance = copy.deepcopy(series)
        instance.SOPInstanceUID = generate_uid(prefix=None)
        instance.InstanceNumber = k + 1
        if "ImageIndex" in instance:  # PET Image (PS3.3 C.8.9.4)
            instance.ImageIndex = k + 1
        _place(instance, grid, k)
        if len(headers) == grid.shape[2]:
            _refer(instance, headers[k])
        elif len(headers) == 1:
            _refer(instance, headers[0])
        instance.PixelData = _even(plane.tobytes())
        instance["PixelData"].VR = "OW" if instance.BitsAllocated == 16 else "OB"
        paths.append(save_instance(instance, folder / f"{k + 1:04d}.dcm"))
    return paths


def _place(instance: Dataset, grid: Grid, k: int) -> None:
    """Add the Image Plane module (PS3.3 C.7.6.2) of slice `k`."""
    lps, spacing = grid.affine_lps, grid.spacing_mm
    directions = lps[:3, :3] / np.asarray(spacing)
    position = lps[:3, 2] * k + lps[:3, 3]
    instance.ImagePositionPatient = _decimals(position)
    instance.ImageOrientationPatient = _decimals(directions[:, :2].T.ravel())
    instance.PixelSpacing = _decimals((spacing[1], spacing[0]))
    instance.SliceThickness = _decimals(spacing[2:])[0]
    instance.SpacingBetweenSlices = instance.SliceThickness
    normal = np.cross(directions[:, 0], directions[:, 1])
    instance.SliceLocation = _decimals([float(normal @ position)])[0]
    instance.PatientOrientation = [_DICOM_LETTERS.get(c, c) for c in grid.orientation[:2]]


def _decimals(numbers: Iterable[float]) -> list[DSfloat]:
    return [DSfloat(float(number) + 0.0, auto_format=True) for number in numbers]


def _refer(instance: Dataset, header: Dataset) -> None:
    if "SOPClassUID" not in header or "SOPInstanceUID" not in header:
        return
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    instance.SourceImageSequence = [item]


def _even(data: bytes) -> bytes:
    return data if len(data) % 2 == 0 else data + b"\0"


def save_instance(instance: Dataset, path: Path) -> Path:
    """Write one DICOM file, and return `path`; raise `OutputError` where that fails."""
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with atomic_file(path) as partial:
        instance.save_as(partial, enforce_file_format=True)
    return path
