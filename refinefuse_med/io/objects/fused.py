"""What all objects that show the fused volume share: its pixels, and how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from refinefuse_med import __version__
from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.derived import derive_series, derive_study
from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FUSION", "begin_fused", "picture_of"]

FUSION: Final = Code("REFINEFUSE", "99REFINEFUSE", "Fusion of images by RefineFuse")
"""PS3.16 CID 7203 is extensible, and has no code of fusion."""

_GREY_MAX: Final = 2**16 - 1


def begin_fused(
    fused: MetaTensor,
    source: SourceHeader,
    functional: SourceHeader,
    study: Dataset | None,
    *,
    sop_class_uid: str,
    description: str,
    details: str,
    offset: int,
) -> Dataset:
    """Begin the series of a fused volume; parameters as of `derive_series`."""
    how = f"Anatomical and functional image fused by RefineFuse-Med {__version__}"
    series = derive_series(
        derive_study(source, fused) if study is None else study,
        sop_class_uid=sop_class_uid,
        modality="OT",
        description=description,
        derivation=f"{how}: {details}" if details else how,
        offset=offset,
        code=FUSION,
        sources=[source, functional],
    )
    series.ImageType = ["DERIVED", "SECONDARY"]
    series.ConversionType = "WSD"
    return series


def picture_of(fused: MetaTensor) -> tuple[Dataset, NDArray[np.generic]]:
    """Give the Image Pixel module of a fused volume, and its pixels.

    Returns
    -------
    attributes : Dataset
        Without Pixel Data.
    pixels : array, shape (K, J, I, 3) of uint8, or (K, J, I) of uint16

    Raises
    ------
    InputError
        Neither three channels of uint8 nor one of float.
    """
    data = fused.as_tensor().cpu()
    if data.shape[0] == 3 and data.dtype == torch.uint8:
        return _colour(data)
    if data.shape[0] == 1 and data.is_floating_point():
        return _grey(data)
    raise InputError(f"not a fused picture: {data.shape[0]} channels of {data.dtype}")


def _colour(data: torch.Tensor) -> tuple[Dataset, NDArray[np.generic]]:
    pixels = data.permute(3, 2, 1, 0).contiguous().numpy()
    attributes = {
        "PhotometricInterpretation": "RGB",
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    return _image_pixel(pixels, attributes), pixels


def _grey(data: torch.Tensor) -> tuple[Dataset, NDArray[np.generic]]:
    stored = (data[0].clamp(0, 1) * _GREY_MAX).round().permute(2, 1, 0)
    pixels = stored.contiguous().numpy().astype("<u2")
    attributes = {
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        # PS3.3 C.11.2.1.2.1: shows 0 black and 65535 white
        "WindowCenter": (_GREY_MAX + 1) // 2,
        "WindowWidth": _GREY_MAX + 1,
        "WindowCenterWidthExplanation": "all of the fused range",
    }
    return _image_pixel(pixels, attributes), pixels


def _image_pixel(pixels: NDArray[np.generic], attributes: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.Rows, dataset.Columns = pixels.shape[1:3]
    dataset.PixelRepresentation = 0
    return dataset
