"""Which images an object was made from, and how it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence_item
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from refinefuse_med.io.elements import numbers
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.volume import ORTHOGONALITY_TOLERANCE, Grid, SourceHeader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Sources",
    "can_be_referred_to",
    "derivation_image",
    "list_references",
    "reference",
    "source_images",
]

_MARGIN_MM: Final = 1e-3
_MOST: Final = 20_000
"""References that the frames of one object hold together at most (6 MB of header)."""


def can_be_referred_to(header: Dataset) -> bool:
    """Whether a header names its instance, series and study."""
    named = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    return all(header.get(keyword) for keyword in named)


def reference(header: Dataset) -> Dataset:
    """Make the item that refers to one instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


@dataclass(frozen=True, eq=False)
class Sources:
    """The source instances of a volume, and which of them each slice was made from.

    Attributes
    ----------
    items : tuple of Dataset
        Items of a Source Image Sequence (PS3.3 C.7.6.1.1.4), one for each instance.
    of_slice : tuple of arrays of int
        For each slice along K, which of the items.
    still : int
        How many of the items, the first ones, are images of the anatomical series.
    """

    items: tuple[Dataset, ...]
    of_slice: tuple[NDArray[np.intp], ...]
    still: int

    def __getitem__(self, k: int) -> list[Dataset]:
        """The items of slice `k`."""
        return [self.items[n] for n in self.of_slice[k]]

    @cached_property
    def spares_frames(self) -> bool:
        """Whether one object for all slices had better name the functional images once."""
        return sum(map(len, self.of_slice)) > _MOST

    def add_to(self, target: Dataset, k: int, *, of_frame: bool = False) -> None:
        """Add the Source Image Sequence of slice `k`, where there is something to name.

        Hundreds of slices may each name hundreds of images: every item is encoded once.
        """
        numbers = self.of_slice[k]
        if of_frame and self.spares_frames:
            numbers = numbers[numbers < self.still]
        if len(numbers):
            value = b"".join(self._encoded[n] for n in numbers)
            tag = Tag("SourceImageSequence")
            target[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)

    @cached_property
    def first(self) -> int | None:
        """The first slice that names an image; None where none does."""
        return next((k for k, numbers in enumerate(self.of_slice) if len(numbers)), None)

    def add_all_to(self, target: Dataset) -> None:
        """Add the Source Image Sequence of an object that holds all slices."""
        named = np.unique(np.concatenate(self.of_slice))
        if len(named):
            target.SourceImageSequence = [self.items[n] for n in named]

    @cached_property
    def _encoded(self) -> list[bytes]:
        return [_encoded(item) for item in self.items]


def _encoded(item: Dataset) -> bytes:
    """The item as a file of explicit VR, little endian, has it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_sequence_item(buffer, item, ["iso8859"])
    return buffer.getvalue()


def source_images(
    grid: Grid,
    anatomical: SourceHeader,
    functional: SourceHeader,
    matrix_fixed_to_moving_lps: ArrayLike | None,
) -> Sources:
    """Find what each slice along K was made from.

    Of the anatomical series it is the slice at the same place; of the functional one every
    slice that interpolation takes values from, or the whole series where that is not known. An
    instance of several frames stands for all of them.

    Parameters
    ----------
    grid : Grid
        Of the fused volume.
    anatomical, functional : SourceHeader
        What it was made from; without DICOM headers there is nothing to refer to.
    matrix_fixed_to_moving_lps : array, shape (4, 4), optional
        Maps points of `grid` to points of the functional scan, LPS mm.
    """
    own = [header for header in anatomical.datasets if can_be_referred_to(header)]
    beside = _beside(grid, own)
    still = [_source(header, preserved="YES") for header in own]
    named = [n for n, header in enumerate(functional.datasets) if can_be_referred_to(header)]
    moved = [_source(functional.datasets[n], preserved="NO") for n in named]
    touched = _touched(grid, functional, matrix_fixed_to_moving_lps)[:, named]
    first = len(still)
    of_slice = tuple(
        np.append([] if same is None else [same], first + np.flatnonzero(row)).astype(np.intp)
        for same, row in zip(beside, touched, strict=True)
    )
    return Sources((*still, *moved), of_slice, first)


def derivation_image(sources: Sources, k: int, code: Code | None) -> list[Dataset]:
    """Make the Derivation Image Sequence of frame `k` (PS3.3 C.7.6.16.2.6), or none."""
    item = Dataset()
    item.DerivationCodeSequence = [] if code is None else [code_item(code)]
    sources.add_to(item, k, of_frame=True)
    return [item] if "SourceImageSequence" in item else []


def _source(header: Dataset, *, preserved: str) -> Dataset:
    item = reference(header)
    item.SpatialLocationsPreserved = preserved
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return item


def _beside(grid: Grid, headers: Sequence[Dataset]) -> list[int | None]:
    """Which header is of the slice at the same place, for each slice along K; None: none is.

    A volume that was turned over since it was read, or registered, has its slices elsewhere.
    """
    slices = grid.shape[2]
    if len(headers) == 1:  # of several frames
        return [0] * slices
    if len(headers) != slices:
        return [None] * slices
    if (stack := _stack_of(headers)) is None:
        return list(range(slices))
    normal, heights = stack
    step = grid.affine_lps[:3, 2]
    if abs(normal @ step) < (1 - ORTHOGONALITY_TOLERANCE) * np.linalg.norm(step):
        return [None] * slices
    places = grid.affine_lps[:3, 3] @ normal + np.arange(slices) * (step @ normal)
    apart = np.abs(places[:, None] - heights)
    reach = np.abs(np.diff(np.sort(heights))).max() / 2 + _MARGIN_MM
    return [int(row.argmin()) if row.min() <= reach else None for row in apart]


def _stack_of(
    headers: Sequence[Dataset],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Give the normal of a stack of slices, LPS, and their heights along it, in mm, if told."""
    positions = [numbers(header, "ImagePositionPatient") for header in headers]
    directions = numbers(headers[0], "ImageOrientationPatient")
    if len(directions) != 6 or any(len(position) != 3 for position in positions):
        return None
    normal = np.cross(directions[:3], directions[3:])
    return normal, np.asarray(positions) @ normal


def _touched(grid: Grid, source: SourceHeader, matrix: ArrayLike | None) -> NDArray[np.bool_]:
    """Tell for each slice of `grid`, and each header, whether it lies within reach."""
    headers = source.datasets
    reached = np.ones((grid.shape[2], len(headers)), dtype=bool)
    if matrix is None or len(headers) < 2 or (stack := _stack_of(headers)) is None:
        return reached
    normal, heights = stack
    between = np.abs(np.diff(np.sort(heights))).max() + _MARGIN_MM
    to_moving = np.asarray(matrix, dtype=np.float64) @ grid.affine_lps
    i, j = grid.shape[0] - 1, grid.shape[1] - 1
    for k in range(grid.shape[2]):
        corners = np.array([(0, 0, k, 1), (i, 0, k, 1), (0, j, k, 1), (i, j, k, 1)])
        range_of = normal @ (to_moving @ corners.T)[:3]
        low, high = range_of.min() - between, range_of.max() + between
        reached[k] = (heights > low) & (heights < high)
    return reached


def list_references(instance: Dataset, sources: Iterable[SourceHeader]) -> None:
    """Add the Common Instance Reference module (PS3.3 C.12.2), which lists whole series.

    The instance must refer to one of them elsewhere: the module may not stand alone.
    """
    own: list[Dataset] = []
    others: dict[str, list[Dataset]] = {}
    for source in sources:
        headers = [header for header in source.datasets if can_be_referred_to(header)]
        if not headers:
            continue
        first = headers[0]
        if first.StudyInstanceUID == instance.StudyInstanceUID:
            own.append(_series(headers))
        else:
            others.setdefault(first.StudyInstanceUID, []).append(_series(headers))
    if own:
        instance.ReferencedSeriesSequence = own
    if others:
        instance.StudiesContainingOtherReferencedInstancesSequence = [
            _study(uid, series) for uid, series in others.items()
        ]


def _series(headers: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = headers[0].SeriesInstanceUID
    item.ReferencedInstanceSequence = [reference(header) for header in headers]
    return item


def _study(uid: str, series: list[Dataset]) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = uid
    item.ReferencedSeriesSequence = series
    return item
