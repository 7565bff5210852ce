"""Writing how a viewer is to show two series over each other, untouched.

An Advanced Blending Presentation State (PS3.3 A.33.7): the anatomical series in grey, the
functional one in its palette over it, in the place that the Spatial Registration object gives
it. A deformed functional series is shown as it was resampled, in the anatomical frame of
reference: presentation states refer to Spatial Registration instances, which are matrices, and a
viewer that passes over a deformation would show the source in a wrong place without a word.
highdicom's class takes images of one study and one frame of reference alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom import dcmread
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import AdvancedBlendingPresentationStateStorage, SpatialRegistrationStorage

from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.io.objects.derived import derive_series, only_instance
from refinefuse_med.io.objects.references import list_references, reference
from refinefuse_med.io.objects.slices import save_instance, show
from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "write_blending"]

_SERIES_OFFSET: Final = 4
_OPACITY: Final = 0.5


@dataclass(frozen=True, eq=False)
class Layer:
    """One of the two series, and how it is shown.

    Attributes
    ----------
    source : SourceHeader
        With DICOM headers.
    window : (float, float), optional
        Low and high, in the values that the files' own rescale gives; that of the files without.
    colours : array, shape (256, 3), uint8, or None
        From the low to the high end of the window; None: grey.
    """

    source: SourceHeader
    window: tuple[float, float] | None = None
    colours: NDArray[np.uint8] | None = None


def write_blending(
    anatomical: Layer,
    functional: Layer,
    registration: Dataset,
    path: str | Path,
    *,
    study: Dataset,
    description: str = "RefineFuse blending",
) -> Path:
    """Write the presentation state.

    Parameters
    ----------
    anatomical, functional : Layer
        The first gives the geometry to show both in.
    registration : Dataset
        The Spatial Registration object between the two, by which the functional series is put in
        place; a Deformable one is named only: the series is in place already.
    path : Path
        A DICOM file.
    study : Dataset
        From `refinefuse_med.io.objects.derived.derive_study`.
    description : str
        Series Description.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        One of the two has no DICOM headers.
    OutputError
        The file cannot be written.
    """
    layers = (anatomical, functional)
    if not all(layer.source.datasets for layer in layers):
        raise InputError("a blending presentation state needs two DICOM series")
    series = derive_series(
        study,
        sop_class_uid=AdvancedBlendingPresentationStateStorage,
        modality="PR",
        description=description,
        derivation=None,
        offset=_SERIES_OFFSET,
        sources=[layer.source for layer in layers],
    )
    instance = only_instance(series, "BLENDING", "Functional series over the anatomical one")
    instance.PresentationCreationDate = instance.ContentDate
    instance.PresentationCreationTime = instance.ContentTime
    by_matrix = registration.SOPClassUID == SpatialRegistrationStorage
    instance.AdvancedBlendingSequence = [
        _input(anatomical, 1, None),
        _input(functional, 2, registration if by_matrix else None),
    ]
    instance.PixelPresentation = "TRUE_COLOR"
    instance.BlendingDisplaySequence = [_blend()]
    instance.ICCProfile = _srgb()
    list_references(instance, [layer.source for layer in layers])
    _list_registration(instance, registration)
    return save_instance(instance, Path(path))


def _input(layer: Layer, number: int, registration: Dataset | None) -> Dataset:
    first = layer.source.datasets[0]
    item = Dataset()
    item.BlendingInputNumber = number
    item.StudyInstanceUID = first.StudyInstanceUID
    item.SeriesInstanceUID = first.SeriesInstanceUID
    item.ReferencedImageSequence = [reference(header) for header in layer.source.datasets]
    if registration is not None:
        item.ReferencedSpatialRegistrationSequence = [_hierarchical(registration)]
    item.TimeSeriesBlending = "FALSE"
    item.GeometryForDisplay = "TRUE" if number == 1 else "FALSE"
    if layer.window is not None:
        voi = Dataset()
        show(voi, layer.window)
        item.SoftcopyVOILUTSequence = [voi]
    if layer.colours is not None:
        item.PaletteColorLookupTableSequence = [_palette(layer.colours)]
    return item


def _hierarchical(instance: Dataset) -> Dataset:
    """Refer to an instance from its study down (PS3.3 table C.17-3)."""
    item = Dataset()
    item.ReferencedSOPClassUID = instance.SOPClassUID
    item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = instance.SeriesInstanceUID
    series.ReferencedSOPSequence = [item]
    study = Dataset()
    study.StudyInstanceUID = instance.StudyInstanceUID
    study.ReferencedSeriesSequence = [series]
    return study


def _srgb() -> bytes:
    """The profile that pydicom's palettes bear."""
    (path,) = get_palette_files("hotiron.dcm")
    profile: bytes = dcmread(path).ICCProfile
    return profile


def _palette(colours: NDArray[np.uint8]) -> Dataset:
    """Palette Color Lookup Table module (PS3.3 C.7.9): 256 entries of 16 bits."""
    palette = Dataset()
    for channel, name in enumerate(("Red", "Green", "Blue")):
        entries = colours[:, channel].astype("<u2") * 257  # 255 becomes 65535
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [len(colours), 0, 16])
        setattr(palette, f"{name}PaletteColorLookupTableData", entries.tobytes())
    return palette


def _blend() -> Dataset:
    inputs = []
    for number in (2, 1):  # the opacity is that of the first (PS3.4 N.2.6)
        item = Dataset()
        item.BlendingInputNumber = number
        inputs.append(item)
    blend = Dataset()
    blend.BlendingDisplayInputSequence = inputs
    blend.BlendingMode = "FOREGROUND"
    blend.RelativeOpacity = _OPACITY
    return blend


def _list_registration(instance: Dataset, registration: Dataset) -> None:
    item = reference(registration)
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SpatialRegistration)]
    instance.ReferencedInstanceSequence = [item]
    series = Dataset()
    series.SeriesInstanceUID = registration.SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference(registration)]
    listed = instance.get("ReferencedSeriesSequence") or []
    instance.ReferencedSeriesSequence = [*listed, series]
