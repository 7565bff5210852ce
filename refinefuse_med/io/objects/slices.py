"""Writing the slices of a derived DICOM series, each in its place in the patient."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from refinefuse_med.errors import OutputError
from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.objects.references import Sources, list_references
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import Grid, SourceHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "decimals",
    "make_folder",
    "place",
    "planes_of",
    "save_instance",
    "set_pixels",
    "show",
    "write_slices",
]

_SLIGHT: Final = 0.1
"""Direction cosine, of some six degrees, up to which Patient Orientation does not name an axis."""


def write_slices(
    series: Dataset,
    grid: Grid,
    pixels: NDArray[np.generic],
    folder: str | Path,
    *,
    sources: Sources,
    series_of: Iterable[SourceHeader],
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
    sources : Sources
        What each slice was made from.
    series_of : iterable of SourceHeader
        The series that the first slice to name an image lists whole: to do so in each would take
        as much room as the pixels.

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
    folder = make_folder(folder)
    series = _settled(series)
    paths = []
    for k, plane in enumerate(pixels):
        instance = copy.deepcopy(series)
        instance.SOPInstanceUID = new_uid(series.SeriesInstanceUID, k)
        instance.InstanceNumber = k + 1
        if "ImageIndex" in instance:  # PET Image (PS3.3 C.8.9.4)
            instance.ImageIndex = k + 1
        place(instance, grid, k)
        sources.add_to(instance, k)
        if k == sources.first:
            list_references(instance, series_of)
        set_pixels(instance, plane)
        paths.append(save_instance(instance, folder / f"{k + 1:04d}.dcm"))
    return paths


def _settled(series: Dataset) -> Dataset:
    """The same, encoded once: what instances share is then copied as bytes, not encoded by each."""
    buffer = BytesIO()
    dcmwrite(buffer, series, implicit_vr=False, little_endian=True)
    buffer.seek(0)
    return dcmread(buffer, force=True)


def make_folder(folder: str | Path) -> Path:
    """Make a folder with its parents, where it is not there; raise `OutputError` if that fails."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made ({error.strerror})", where=folder) from error
    return folder


def place(instance: Dataset, grid: Grid, k: int) -> None:
    """Add the Image Plane module (PS3.3 C.7.6.2) of slice `k`."""
    lps, spacing = grid.affine_lps, grid.spacing_mm
    directions = lps[:3, :3] / np.asarray(spacing)
    position = lps[:3, 2] * k + lps[:3, 3]
    instance.ImagePositionPatient = decimals(position)
    instance.ImageOrientationPatient = decimals(directions[:, :2].T.ravel())
    instance.PixelSpacing = decimals((spacing[1], spacing[0]))
    instance.SliceThickness = decimals(spacing[2:])[0]
    instance.SpacingBetweenSlices = instance.SliceThickness
    normal = np.cross(directions[:, 0], directions[:, 1])
    instance.SliceLocation = decimals([float(normal @ position)])[0]
    instance.PatientOrientation = [_leads_to(direction) for direction in directions[:, :2].T]


def _leads_to(direction_lps: NDArray[np.float64]) -> str:
    """Letters of where a direction leads, the most prominent first (PS3.3 C.7.6.1.1.1)."""
    return "".join(
        "LPH"[axis] if direction_lps[axis] > 0 else "RAF"[axis]
        for axis in np.argsort(-np.abs(direction_lps))
        if abs(direction_lps[axis]) > _SLIGHT
    )


def planes_of(grid: Grid) -> list[Dataset]:
    """Make the Image Plane module of every slice."""
    planes = [Dataset() for _ in range(grid.shape[2])]
    for k, plane in enumerate(planes):
        place(plane, grid, k)
    return planes


def decimals(numbers: Iterable[float]) -> list[DSfloat]:
    """Decimal strings of 16 characters at most, without negative zeros."""
    return [DSfloat(float(number) + 0.0, auto_format=True) for number in numbers]


def show(instance: Dataset, window: tuple[float, float]) -> None:
    """Add the VOI LUT module (PS3.3 C.11.2): low and high, in rescaled values."""
    low, high = window
    width = max(high - low, 1e-6)
    instance.WindowCenter = DSfloat((low + high) / 2, auto_format=True)
    instance.WindowWidth = DSfloat(width, auto_format=True)
    if width < 1:  # which the default function, LINEAR, does not allow
        instance.VOILUTFunction = "LINEAR_EXACT"


def set_pixels(instance: Dataset, pixels: NDArray[np.generic]) -> None:
    """Set Pixel Data, padded to an even length (PS3.5 section 8.1.1)."""
    data = pixels.tobytes()
    instance.PixelData = data if len(data) % 2 == 0 else data + b"\0"
    instance["PixelData"].VR = "OW" if instance.BitsAllocated == 16 else "OB"


def save_instance(instance: Dataset, path: Path) -> Path:
    """Write one DICOM file, and return `path`; raise `OutputError` where that fails."""
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with atomic_file(path) as partial:
        instance.save_as(partial, enforce_file_format=True)
    return path
