"""The well-known colour palettes of DICOM, as pydicom brings them."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydicom.pixels.processing import apply_color_lut

from refinefuse_med.config import Colormap
from refinefuse_med.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["NO_PALETTE", "PALETTES", "colourise", "default_colormap", "palette", "resolve_colormap"]

PALETTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hot_iron": "1.2.840.10008.1.5.1",
        "pet": "1.2.840.10008.1.5.2",
        "hot_metal_blue": "1.2.840.10008.1.5.3",
        "pet_20_step": "1.2.840.10008.1.5.4",
    }
)
"""Palette name to the UID of its SOP instance (DICOM PS3.6, chapter B)."""

NO_PALETTE: Final[Colormap] = "none"
"""The colormap of volumes that stay grey."""

_GREY_MODALITIES: Final = frozenset({"CT", "MR"})


def default_colormap(modality: str) -> Colormap:
    """Choose the colormap for a functional volume of a DICOM modality.

    ``none`` for CT and MR, which readers know in grey; ``hot_iron`` for PT and NM, and for
    a modality that is not known, since a functional volume without one is most often a
    NIfTI of PET or SPECT.
    """
    return NO_PALETTE if modality in _GREY_MODALITIES else "hot_iron"


def resolve_colormap(asked: str, modality: str) -> str:
    """Give the colormap that was asked for; for ``auto`` that of the modality."""
    return default_colormap(modality) if asked == "auto" else asked


def palette(name: str) -> torch.Tensor:
    """Return the 256 colours of a DICOM palette.

    Parameters
    ----------
    name : str
        One of `PALETTES`, or ``none`` for a ramp of greys.

    Returns
    -------
    Tensor, shape (256, 3), float32 in [0, 1]

    Raises
    ------
    UsageError
        There is no palette of this name.

    Examples
    --------
    >>> palette("hot_iron")[255]
    tensor([1., 1., 1.])
    """
    return torch.tensor(_colours(name), dtype=torch.float32) / 255


def colourise(scalar01: torch.Tensor, name: str) -> torch.Tensor:
    """Show a scalar in the colours of a palette.

    As a DICOM palette is a table and not a curve (``pet_20_step`` has steps on purpose),
    a value takes the nearest of the 256 colours, without interpolation. Greys have no
    table and keep their precision.

    Parameters
    ----------
    scalar01 : Tensor, any shape (...)
        In [0, 1]; values outside are clamped.
    name : str
        One of `PALETTES`, or ``none`` for grey.

    Returns
    -------
    Tensor, shape (3, ...), in [0, 1]

    Raises
    ------
    UsageError
        There is no palette of this name.

    Examples
    --------
    >>> colourise(torch.rand(4, 5, 6), "pet").shape
    torch.Size([3, 4, 5, 6])
    """
    scalar = scalar01.as_subclass(torch.Tensor).clamp(0, 1)
    if name == NO_PALETTE:
        return scalar.expand(3, *scalar.shape)
    channels = palette(name).to(scalar.device).T
    return channels[:, (scalar * 255).round().long()]


@cache
def _colours(name: str) -> NDArray[np.uint8]:
    ramp = np.arange(256, dtype=np.uint8)
    if name == NO_PALETTE:
        return np.stack([ramp] * 3, axis=-1)
    if name not in PALETTES:
        raise UsageError(
            f"there is no colormap {name!r}", hint=f"use one of {', '.join(PALETTES)}, none"
        )
    return apply_color_lut(ramp, palette=PALETTES[name])
