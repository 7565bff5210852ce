"""From stored pixel values to real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from refinefuse_med.io.elements import integer, numbers, text
from refinefuse_med.io.geometry import Frame
from refinefuse_med.io.real_world import stated_units
from refinefuse_med.io.suv import Calibration, calibrate

__all__ = ["AIR_HU", "COLOURS", "Scale", "scale_of"]

AIR_HU: Final = -1024.0
"""What padding of a CT becomes."""

COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
"""Photometric interpretations of colour pictures."""


@dataclass(frozen=True)
class Scale:
    """How the stored values of a series become real.

    Attributes
    ----------
    modality, units : str
        As in `refinefuse_med.volume.Keys`.
    factor : float
        From rescaled values to `units`.
    factors : tuple of float
        One for each file, where they differ.
    padding : tuple of float or None
        Lowest and highest stored value that mean "no value here".
    warnings : tuple of str
        What was assumed.
    """

    modality: str
    units: str
    factor: float = 1.0
    padding: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()

    @property
    def background(self) -> float:
        """The value of a place that was not scanned."""
        return AIR_HU if self.units == "HU" else 0.0

    def real(
        self, stored: NDArray[Any], frame: Frame, header: Dataset
    ) -> tuple[NDArray[np.float32], int]:
        """Rescale one image; also tell how many of its voxels were padding.

        What float32 cannot hold becomes infinite, and is refused by whoever uses it.
        """
        with np.errstate(all="ignore"):
            values = self._rescaled(stored, frame, header)
        if self.padding is None:
            return values, 0
        low, high = self.padding
        padded = (stored >= low) & (stored <= high)
        values[padded] = self.background
        return values, int(padded.sum())

    def _rescaled(self, stored: NDArray[Any], frame: Frame, header: Dataset) -> NDArray[np.float32]:
        if "ModalityLUTSequence" in header:
            rescaled = np.asarray(apply_modality_lut(stored, header), dtype=np.float64)
            slope, intercept = 1.0, 0.0
        else:
            rescaled, slope, intercept = stored, frame.slope, frame.intercept
        factor = self.factors[frame.file] if self.factors else self.factor
        if slope * factor == 1.0:
            values = rescaled.astype(np.float32)
            values += np.float32(intercept * factor)
        else:
            values = (rescaled * np.float64(slope * factor) + intercept * factor).astype(np.float32)
        return values


def scale_of(headers: Sequence[Dataset], modality: str) -> Scale:
    """Find the units of a series and how to reach them."""
    first = headers[0]
    warnings: list[str] = []
    photometric = text(first, "PhotometricInterpretation")
    if photometric in COLOURS:
        note = "a colour picture: the colours are kept, and are no values"
        return Scale(modality, "a.u.", warnings=(note,))
    if photometric == "MONOCHROME1":
        warnings.append("MONOCHROME1 (low values shown bright): values kept as stored")
    if units := stated_units(first):
        return Scale(modality, units, padding=_padding(first), warnings=tuple(warnings))
    if modality == "PT":
        found: Calibration = calibrate(headers)
        notes = (*warnings, found.note)
        return Scale(modality, found.units, found.factor, _padding(first), notes, found.factors)
    if modality == "NM":
        return Scale(modality, "counts", padding=_padding(first), warnings=tuple(warnings))
    if modality != "CT":
        return Scale(modality, "a.u.", padding=_padding(first), warnings=tuple(warnings))
    if not _in_hounsfield(first):
        warnings.append("CT without a rescale to Hounsfield units")
        return Scale(modality, "a.u.", warnings=tuple(warnings))
    return Scale(modality, "HU", padding=_padding(first), warnings=tuple(warnings))


def _in_hounsfield(header: Dataset) -> bool:
    if "SharedFunctionalGroupsSequence" in header:
        return True  # an enhanced CT has its rescale in the functional groups (C.8.15.3.6)
    return "RescaleIntercept" in header and text(header, "RescaleType") in ("", "HU")


def _padding(header: Dataset) -> tuple[float, float] | None:
    """PixelPaddingValue to PixelPaddingRangeLimit (PS3.3 section C.7.5.1.1.2)."""
    value = numbers(header, "PixelPaddingValue")
    if not value:
        return None
    limit = numbers(header, "PixelPaddingRangeLimit") or value
    low, high = sorted(_signed(v, header) for v in (value[0], limit[0]))
    return low, high


def _signed(value: float, header: Dataset) -> float:
    """Undo a padding value written as unsigned although the pixels are signed."""
    bits = integer(header, "BitsAllocated")
    signed = integer(header, "PixelRepresentation") == 1
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value
