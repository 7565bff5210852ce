"""Writing the colour bar as an image of its own, without a place in the patient.

It is a series by itself, the last: an image without position within the fused series would
keep viewers from stacking that, and burned into the slices it would hide what it explains.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from refinefuse_med.io.objects.derived import derive_series
from refinefuse_med.io.objects.slices import save_instance, set_pixels
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_colour_bar", "write_colour_bar"]

_SERIES_OFFSET: Final = 9
_ROWS, _COLUMNS = 320, 224
_BAR: Final = (32, 64, 32, 288)
"""Left, right, top and bottom of the bar, in pixels."""
_TICKS: Final = 5


def draw_colour_bar(
    colours: NDArray[np.uint8], window: tuple[float, float], units: str, title: str
) -> NDArray[np.uint8]:
    """Draw a bar with its values beside it.

    Parameters
    ----------
    colours : array, shape (256, 3), uint8
        From the low to the high end of the window.
    window : (float, float)
        Low and high.
    units, title : str
        Of the values; above the bar.

    Returns
    -------
    array, shape (320, 224, 3), uint8
    """
    from PIL import Image, ImageDraw, ImageFont

    left, right, top, bottom = _BAR
    picture = np.zeros((_ROWS, _COLUMNS, 3), dtype=np.uint8)
    ramp = np.linspace(len(colours) - 1, 0, bottom - top).round().astype(int)
    picture[top:bottom, left:right] = colours[ramp][:, None]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    draw.rectangle((left - 1, top - 1, right, bottom), outline="white")
    draw.text((left, 8), f"{title} [{units}]", fill="white", font=font)
    low, high = window
    for fraction in np.linspace(0, 1, _TICKS):
        y = bottom - fraction * (bottom - top)
        draw.line((right, y, right + 6, y), fill="white")
        value = low + fraction * (high - low)
        draw.text((right + 10, y - 8), f"{value:.4g}", fill="white", font=font)
    return np.asarray(image)


def write_colour_bar(
    colours: NDArray[np.uint8],
    window: tuple[float, float],
    path: str | Path,
    *,
    units: str,
    title: str,
    study: Dataset,
    sources: tuple[SourceHeader, ...] = (),
) -> Path:
    """Write the bar as one RGB Secondary Capture object.

    Parameters
    ----------
    colours, window, units, title
        As in `draw_colour_bar`.
    path : Path
        A DICOM file.
    study : Dataset
        From `refinefuse_med.io.objects.derived.derive_study`.
    sources : tuple of SourceHeader
        The series that the fused one was made from.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    instance = derive_series(
        study,
        sop_class_uid=SecondaryCaptureImageStorage,
        modality="OT",
        description=f"RefineFuse colour bar ({title})",
        derivation="Colour bar of the fused series",
        offset=_SERIES_OFFSET,
        sources=sources,
    )
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition"):
        instance.pop(keyword, None)
    instance.SOPInstanceUID = new_uid(instance.SeriesInstanceUID, 0)
    instance.InstanceNumber = 1
    instance.ImageType = ["DERIVED", "SECONDARY"]
    instance.ConversionType = "WSD"
    instance.PatientOrientation = None
    pixels = draw_colour_bar(colours, window, units, title)
    instance.PhotometricInterpretation = "RGB"
    instance.SamplesPerPixel = 3
    instance.PlanarConfiguration = 0
    instance.Rows, instance.Columns = pixels.shape[:2]
    instance.BitsAllocated = instance.BitsStored = 8
    instance.HighBit = 7
    instance.PixelRepresentation = 0
    set_pixels(instance, pixels)
    return save_instance(instance, Path(path))
