"""Writing a label volume as a Segmentation (PS3.3 A.51): a binary segment for each label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from refinefuse_med import __version__
from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import numbers
from refinefuse_med.io.objects.derived import derive_series, derive_study
from refinefuse_med.io.objects.framed import complete, framed_arguments
from refinefuse_med.io.objects.references import (
    source_images,
)
from refinefuse_med.io.objects.slices import planes_of, save_instance
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import Grid, SourceHeader, grid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_SEGMENTS", "write_segmentation"]

MOST_SEGMENTS: Final = 512
"""Beyond that it is no segmentation that a viewer can list."""

_SERIES_OFFSET: Final = 6
_SAME_PLACE_MM: Final = 1e-2
_SAME_DIRECTION: Final = 1e-3


def write_segmentation(
    labels: MetaTensor,
    source: SourceHeader,
    path: str | Path,
    *,
    names: Mapping[int, str] | None = None,
    description: str = "RefineFuse labels",
) -> Path:
    """Write one multi-frame object; segments are numbered from 1 in the order of the labels.

    What a segment is nobody has said but by its name: its category and its type are coded as
    tissue, and it counts as drawn by hand (segments made by software would have to name it).

    Parameters
    ----------
    labels : MetaTensor, shape (1, I, J, K)
        Whole numbers, 0 where there is none.
    source : SourceHeader
        Of the scan that they were drawn on: gives patient, study and frame of reference. Where the
        grid is that of its slices, each frame refers to its slice, else to those within reach.
    path : Path
        A DICOM file.
    names : mapping of int to str, optional
        Segment Label of each label; ``Label N`` where it has none.
    description : str
        Series Description.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        No label is there, one is negative or not whole, or there are more than `MOST_SEGMENTS`.
    GeometryError
        The grid is sheared.
    OutputError
        The file cannot be written.
    """
    grid = grid_of(labels)
    grid.require_orthogonal()
    segments, found = _segments(labels)
    series = derive_series(
        derive_study(source, labels),
        sop_class_uid=SegmentationStorage,
        modality="SEG",
        description=description,
        derivation=f"Labels written by RefineFuse-Med {__version__}",
        offset=_SERIES_OFFSET,
        sources=[source],
    )
    series.SOPInstanceUID = new_uid(series.SeriesInstanceUID, 0)
    instance = _build(segments, [_name(n, names) for n in found], grid, series, description)
    nothing = SourceHeader("array")
    # Labels on a grid of their own refer to all slices within reach.
    own, others = (source, nothing) if _is_grid_of(grid, source) else (nothing, source)
    sources = source_images(grid, own, others, np.eye(4))
    complete(
        instance,
        series,
        sources,
        codes.DCM.Segmentation,
        [source],
        lambda _, groups: _slice_of(groups, grid),
    )
    # Which side is for the segments to tell: dciodvfy wants none of the series.
    instance.pop("Laterality", None)
    return save_instance(instance, Path(path))


def _segments(labels: MetaTensor) -> tuple[NDArray[np.uint16], list[int]]:
    """Frames (K, J, I) of numbers from 1 on, and the label that each stands for."""
    values = labels.as_tensor()[0].cpu().numpy()
    found = np.unique(values)
    if (found != np.rint(found)).any() or found[0] < 0:
        raise InputError("labels are to be whole numbers from 0 on")
    found = found[found > 0]
    if not found.size:
        raise InputError("there is no label in it", hint="draw one first")
    if found.size > MOST_SEGMENTS:
        raise InputError(f"{found.size} labels, more than {MOST_SEGMENTS}", hint="write NIfTI")
    numbered = np.searchsorted(found, values).astype(np.uint16) + (values > 0)
    frames = np.ascontiguousarray(numbered.transpose(2, 1, 0), dtype=np.uint16)
    return frames, found.astype(int).tolist()


def _name(label: int, names: Mapping[int, str] | None) -> str:
    return ((names or {}).get(label) or f"Label {label}")[:64]


def _build(
    segments: NDArray[np.uint16], names: list[str], grid: Grid, series: Dataset, description: str
) -> Any:
    import highdicom as hd

    return hd.seg.Segmentation(
        pixel_array=segments,
        segmentation_type="BINARY",
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=name,
                segmented_property_category=codes.SCT.Tissue,
                segmented_property_type=codes.SCT.Tissue,
                algorithm_type="MANUAL",
            )
            for number, name in enumerate(names, start=1)
        ],
        content_label="LABELS",
        content_description=description[:64],
        **framed_arguments(series, grid, segments.shape[1:]),
    )


def _slice_of(groups: Dataset, grid: Grid) -> int:
    """Index along K of a frame: empty ones are left out, so that their numbers do not tell."""
    position = groups.PlanePositionSequence[0].ImagePositionPatient
    step = grid.affine_lps[:3, 2]
    along = (np.asarray([float(v) for v in position]) - grid.affine_lps[:3, 3]) @ step
    return round(float(along / (step @ step)))


def _is_grid_of(grid: Grid, source: SourceHeader) -> bool:
    """Whether the slices of a grid are those of a series, in its order."""
    headers, planes = source.datasets, planes_of(grid)
    if len(headers) != len(planes):
        return False
    for header, plane in zip(headers, planes, strict=True):
        if (header.get("Columns"), header.get("Rows")) != grid.shape[:2]:
            return False
        for keyword, tolerance in (
            ("ImagePositionPatient", _SAME_PLACE_MM),
            ("ImageOrientationPatient", _SAME_DIRECTION),
            ("PixelSpacing", _SAME_DIRECTION),
        ):
            here, there = numbers(header, keyword), numbers(plane, keyword)
            if keyword == "PixelSpacing" and not here:
                continue  # enhanced images have it elsewhere
            if len(here) != len(there) or np.abs(np.subtract(here, there)).max() > tolerance:
                return False
    return True
