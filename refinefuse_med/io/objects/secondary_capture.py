"""Writing the fused volume as DICOM Secondary Capture slices.

The plain Secondary Capture has no place in the patient. Its Image Plane and Frame of
Reference modules are optional in the standard (PS3.3 A.8.1.3) and are what lets a
viewer overlay, reformat and measure, so they are always written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from monai.data import MetaTensor
from pydicom.uid import SecondaryCaptureImageStorage

from refinefuse_med.io.objects.fused import begin_fused, picture_of
from refinefuse_med.io.objects.references import source_images
from refinefuse_med.io.objects.slices import write_slices
from refinefuse_med.volume import SourceHeader, grid_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pydicom.dataset import Dataset

__all__ = ["write_secondary_capture"]

_SERIES_OFFSET: Final = 1


def write_secondary_capture(
    fused: MetaTensor,
    source: SourceHeader,
    folder: str | Path,
    *,
    description: str = "RefineFuse fused",
    details: str = "",
    functional: SourceHeader | None = None,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    study: Dataset | None = None,
) -> list[Path]:
    """Write a fused volume as one Secondary Capture object a slice.

    Parameters
    ----------
    fused : MetaTensor, shape (3, I, J, K) of uint8, or (1, I, J, K) of float in [0, 1]
        On the anatomical grid. Colour is written as 8-bit RGB, grey as 16-bit MONOCHROME2
        whose window spans [0, 1].
    source : SourceHeader
        Of the anatomical volume: gives patient, study and frame of reference. Without
        DICOM headers, an anonymous study is begun.
    folder : Path
        Gets ``0001.dcm`` and so on, in the order of K.
    description : str
        Series Description.
    details : str
        Told in the Derivation Description: windows, palette.
    functional : SourceHeader, optional
        Of the functional volume, named as a related series and as a source of the slices.
    matrix_fixed_to_moving_lps : array, shape (4, 4), optional
        Says which slices of the functional series each slice was made from.
    study : Dataset, optional
        From `refinefuse_med.io.objects.derived.derive_study`, for series that share one study.

    Returns
    -------
    list of Path
        The files, in the order of K.

    Raises
    ------
    InputError
        Neither colour nor grey as above.
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written.
    """
    attributes, pixels = picture_of(fused)
    functional = functional or SourceHeader("array")
    series = begin_fused(
        fused,
        source,
        functional,
        study,
        sop_class_uid=SecondaryCaptureImageStorage,
        description=description,
        details=details,
        offset=_SERIES_OFFSET,
    )
    series.update(attributes)
    grid = grid_of(fused)
    sources = source_images(grid, source, functional, matrix_fixed_to_moving_lps)
    return write_slices(
        series, grid, pixels, folder, sources=sources, series_of=(source, functional)
    )
