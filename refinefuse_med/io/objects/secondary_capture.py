"""Writing the fused volume as DICOM Secondary Capture slices.

The plain Secondary Capture has no place in the patient. Its Image Plane and Frame of
Reference modules are optional in the standard (PS3.3 A.8.1.3) and are what lets a
viewer overlay, reformat and measure, so they are always written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from monai.data import MetaTensor
from pydicom.uid import SecondaryCaptureImageStorage

from refinefuse_med import __version__
from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.derived import derive_series, derive_study
from refinefuse_med.io.objects.slices import write_slices
from refinefuse_med.volume import SourceHeader, grid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

__all__ = ["write_secondary_capture"]

_GREY_MAX: Final = 2**16 - 1
_SERIES_OFFSET: Final = 1


def write_secondary_capture(
    fused: MetaTensor,
    source: SourceHeader,
    folder: str | Path,
    *,
    description: str = "RefineFuse fused",
    functional: SourceHeader | None = None,
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
    functional : SourceHeader, optional
        Of the functional volume, named as a related series.
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
    data = fused.as_tensor().cpu()
    is_colour = data.shape[0] == 3 and data.dtype == torch.uint8
    if not is_colour and not (data.shape[0] == 1 and data.is_floating_point()):
        raise InputError(f"not a fused picture: {data.shape[0]} channels of {data.dtype}")
    sources = [source] if functional is None else [source, functional]
    series = derive_series(
        derive_study(source, fused) if study is None else study,
        sop_class_uid=SecondaryCaptureImageStorage,
        modality="OT",
        description=description,
        derivation=f"Anatomical and functional image fused by RefineFuse-Med {__version__}",
        offset=_SERIES_OFFSET,
        sources=sources,
    )
    series.ImageType = ["DERIVED", "SECONDARY"]
    series.ConversionType = "WSD"
    attributes, pixels = _colour(data) if is_colour else _grey(data)
    for keyword, value in attributes.items():
        setattr(series, keyword, value)
    return write_slices(series, grid_of(fused), pixels, folder, source=source)


def _colour(data: torch.Tensor) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    pixels = data.permute(3, 2, 1, 0).contiguous().numpy()
    attributes = {
        "PhotometricInterpretation": "RGB",
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "Rows": pixels.shape[1],
        "Columns": pixels.shape[2],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
    }
    return attributes, pixels


def _grey(data: torch.Tensor) -> tuple[dict[str, Any], NDArray[np.uint16]]:
    stored = (data[0].clamp(0, 1) * _GREY_MAX).round().permute(2, 1, 0)
    pixels = stored.contiguous().numpy().astype("<u2")
    attributes = {
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[1],
        "Columns": pixels.shape[2],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        # PS3.3 C.11.2.1.2.1: shows 0 black and 65535 white
        "WindowCenter": (_GREY_MAX + 1) // 2,
        "WindowWidth": _GREY_MAX + 1,
        "WindowCenterWidthExplanation": "all of the fused range",
    }
    return attributes, pixels
