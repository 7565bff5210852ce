"""Writing the fused volume as one multi-frame Secondary Capture object.

True Colour where it is in colour (PS3.3 A.8.5), Grayscale Word where it is grey (A.8.4). The
places of the frames stand in functional groups, as in enhanced images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from refinefuse_med.errors import OutputError
from refinefuse_med.io.objects.fused import FUSION, begin_fused, picture_of
from refinefuse_med.io.objects.references import (
    Sources,
    derivation_image,
    list_references,
    source_images,
)
from refinefuse_med.io.objects.slices import planes_of, save_instance, set_pixels
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import SourceHeader, grid_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["write_multiframe_capture"]

_SERIES_OFFSET: Final = 1
"""That of the slices: the one object takes their place."""

_MAX_BYTES: Final = 2**32 - 2
"""The longest Pixel Data of explicit length (PS3.5 section 7.1.1)."""


def write_multiframe_capture(
    fused: MetaTensor,
    source: SourceHeader,
    path: str | Path,
    *,
    description: str = "RefineFuse fused",
    details: str = "",
    functional: SourceHeader | None = None,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    study: Dataset | None = None,
) -> Path:
    """Write a fused volume as one object of as many frames as there are slices.

    Parameters
    ----------
    fused, source, description, details, functional, matrix_fixed_to_moving_lps, study
        As in `refinefuse_med.io.write_secondary_capture`.
    path : Path
        A DICOM file.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        Not a fused picture.
    GeometryError
        The grid is sheared.
    OutputError
        The file cannot be written, or the volume is larger than one object can be.
    """
    attributes, pixels = picture_of(fused)
    if pixels.nbytes > _MAX_BYTES:
        raise OutputError(
            f"{pixels.nbytes / 2**30:.1f} GiB do not fit into one multi-frame object",
            where=path,
            hint="write one object a slice",
        )
    grid = grid_of(fused)
    grid.require_orthogonal()
    functional = functional or SourceHeader("array")
    is_colour = attributes.SamplesPerPixel == 3
    instance = begin_fused(
        fused,
        source,
        functional,
        study,
        sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage
        if is_colour
        else MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        description=description,
        details=details,
        offset=_SERIES_OFFSET,
    )
    instance.update(attributes)
    instance.SOPInstanceUID = new_uid(instance.SeriesInstanceUID, 0)
    instance.InstanceNumber = 1
    instance.PatientOrientation = None
    if not is_colour:
        _map_to_display(instance)
    planes = planes_of(grid)
    _list_frames(instance, planes)
    sources = source_images(grid, source, functional, matrix_fixed_to_moving_lps)
    _add_functional_groups(instance, planes, sources)
    if sources.spares_frames:
        sources.add_all_to(instance)
    if sources.first is not None:
        list_references(instance, (source, functional))
    set_pixels(instance, pixels)
    return save_instance(instance, Path(path))


def _map_to_display(instance: Dataset) -> None:
    """Type 1 of grey multi-frame objects (PS3.3 C.8.6.3)."""
    instance.PresentationLUTShape = "IDENTITY"
    instance.RescaleIntercept = 0
    instance.RescaleSlope = 1
    instance.RescaleType = "US"


def _list_frames(instance: Dataset, planes: Sequence[Dataset]) -> None:
    """Add the multi-frame and the vector modules (PS3.3 C.7.6.6, C.8.6.4)."""
    instance.NumberOfFrames = len(planes)
    instance.FrameIncrementPointer = Tag("SliceLocationVector")
    instance.SliceLocationVector = [plane.SliceLocation for plane in planes]


def _add_functional_groups(instance: Dataset, planes: Sequence[Dataset], sources: Sources) -> None:
    """Add the Multi-frame Functional Groups and Dimension modules (PS3.3 C.7.6.16, C.7.6.17)."""
    organization = Dataset()
    organization.DimensionOrganizationUID = new_uid(instance.SeriesInstanceUID, "dimension")
    index = Dataset()
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer = Tag("ImagePositionPatient")
    index.FunctionalGroupPointer = Tag("PlanePositionSequence")
    instance.DimensionOrganizationSequence = [organization]
    instance.DimensionIndexSequence = [index]
    instance.DimensionOrganizationType = "3D"

    first = planes[0]
    shared = Dataset()
    shared.PixelMeasuresSequence = [
        _only(first, "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
    ]
    shared.PlaneOrientationSequence = [_only(first, "ImageOrientationPatient")]
    instance.SharedFunctionalGroupsSequence = [shared]
    instance.PerFrameFunctionalGroupsSequence = [
        _frame(plane, k, sources) for k, plane in enumerate(planes)
    ]


def _only(dataset: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        item[keyword] = dataset[keyword]
    return item


def _frame(plane: Dataset, k: int, sources: Sources) -> Dataset:
    content = Dataset()
    content.StackID = "1"
    content.InStackPositionNumber = k + 1
    content.DimensionIndexValues = k + 1
    groups = Dataset()
    groups.FrameContentSequence = [content]
    groups.PlanePositionSequence = [_only(plane, "ImagePositionPatient")]
    if derived := derivation_image(sources, k, FUSION):
        groups.DerivationImageSequence = derived
    return groups
