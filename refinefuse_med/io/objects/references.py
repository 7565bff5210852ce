"""Which images an object was made from, and how it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from refinefuse_med.io.elements import numbers
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.volume import Grid, SourceHeader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "can_be_referred_to",
    "derivation_image",
    "list_references",
    "reference",
    "source_images",
]

_MARGIN_MM: Final = 1e-3


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


def source_images(
    grid: Grid,
    anatomical: SourceHeader,
    functional: SourceHeader,
    matrix_fixed_to_moving_lps: ArrayLike | None,
) -> list[list[Dataset]]:
    """Make the Source Image Sequence (PS3.3 C.7.6.1.1.4) of every slice along K.

    Of the anatomical series it names the slice at the same place; of the functional one every
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
    slices = grid.shape[2]
    still = [_source(h, preserved="YES") for h in anatomical.datasets if can_be_referred_to(h)]
    moved = [_source(h, preserved="NO") for h in functional.datasets]
    named = np.array([can_be_referred_to(h) for h in functional.datasets], dtype=bool)
    touched = _touched(grid, functional, matrix_fixed_to_moving_lps) & named
    return [
        ([still[k]] if len(still) == slices else still if len(still) == 1 else [])
        + [moved[n] for n in np.flatnonzero(touched[k])]
        for k in range(slices)
    ]


def derivation_image(sources: Sequence[Dataset], code: Code | None) -> Dataset:
    """Make the item of the Derivation Image Sequence of one frame (PS3.3 C.7.6.16.2.6)."""
    item = Dataset()
    item.DerivationCodeSequence = [] if code is None else [code_item(code)]
    item.SourceImageSequence = list(sources)
    return item


def _source(header: Dataset, *, preserved: str) -> Dataset:
    if not can_be_referred_to(header):
        return Dataset()
    item = reference(header)
    item.SpatialLocationsPreserved = preserved
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return item


def _touched(grid: Grid, source: SourceHeader, matrix: ArrayLike | None) -> NDArray[np.bool_]:
    """Tell for each slice of `grid`, and each header, whether it lies within reach."""
    headers = source.datasets
    reached = np.ones((grid.shape[2], len(headers)), dtype=bool)
    positions = [numbers(header, "ImagePositionPatient") for header in headers]
    directions = [numbers(header, "ImageOrientationPatient") for header in headers[:1]]
    if matrix is None or len(headers) < 2:
        return reached
    if len(directions[0]) != 6 or any(len(position) != 3 for position in positions):
        return reached
    normal = np.cross(directions[0][:3], directions[0][3:])
    heights = np.asarray(positions) @ normal
    between = np.abs(np.diff(np.sort(heights))).max() + _MARGIN_MM
    to_moving = np.asarray(matrix, dtype=np.float64) @ grid.affine_lps
    i, j = grid.shape[0] - 1, grid.shape[1] - 1
    for k in range(grid.shape[2]):
        corners = np.array([(0, 0, k, 1), (i, 0, k, 1), (0, j, k, 1), (i, j, k, 1)])
        range_of = normal @ (to_moving @ corners.T)[:3]
        low, high = range_of.min() - between, range_of.max() + between
        reached[k] = (heights > low) & (heights < high)
    return reached


def list_references(
    instance: Dataset,
    sources: Iterable[SourceHeader],
    used: Iterable[Sequence[Dataset]] | None = None,
) -> None:
    """Add the Common Instance Reference module (PS3.3 C.12.2) to an instance.

    Parameters
    ----------
    instance : Dataset
        Refers to the `sources`.
    sources : iterable of SourceHeader
        What may be listed.
    used : iterable of sequences of Dataset, optional
        The items that refer to instances, from `source_images`; without, all are listed.
    """
    uids = None if used is None else {i.ReferencedSOPInstanceUID for items in used for i in items}
    own: list[Dataset] = []
    others: dict[str, list[Dataset]] = {}
    for source in sources:
        headers = [header for header in source.datasets if can_be_referred_to(header)]
        if uids is not None:
            headers = [header for header in headers if header.SOPInstanceUID in uids]
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
