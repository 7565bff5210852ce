"""The registered volume as Positron Emission Tomography Images (PS3.3 A.21)."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from refinefuse_med.io.objects.acquisition import complete, inherit
from refinefuse_med.io.objects.derived import carry

__all__ = ["as_pet", "can_be_pet"]

_UNITS: Final = {"SUVbw": "GML", "Bq/ml": "BQML", "counts": "CNTS"}
"""Units (PS3.3 C.8.9.1.1.3)."""

_REQUIRED: Final = ("Units", "CountsSource", "DecayCorrection", "FrameReferenceTime")
"""Type 1 of the PET modules, which only the scanner knows."""

_TYPE_2: Final = (
    "ActualFrameDuration",
    "CollimatorType",
    "CorrectedImage",
    "PatientGantryRelationshipCodeSequence",
    "PatientOrientationCodeSequence",
    "RadiopharmaceuticalInformationSequence",
)


def can_be_pet(header: Dataset) -> bool:
    """Whether a PET header knows what a PET object must say."""
    return all(k in header and not header[k].is_empty for k in _REQUIRED)


def as_pet(series: Dataset, header: Dataset, units: str, slices: int) -> None:
    """Add the PET Series, Isotope and Image modules (PS3.3 C.8.9)."""
    inherit(series, header)
    series.ImageType = ["DERIVED", "PRIMARY"]  # PS3.3 C.8.9.4.1.1 has no SECONDARY
    carry(header, series, ("CorrectedImage",))
    series.Units = _UNITS.get(units, header.get("Units"))
    if units == "SUVbw":
        series.SUVType = "BW"
    whole_body = "WHOLE BODY" in (header.get("SeriesType") or ())
    series.SeriesType = ["WHOLE BODY" if whole_body else "STATIC", "IMAGE"]
    series.NumberOfSlices = slices
    series.ImageIndex = 1  # of each slice, once it is written
    # The NM/PET Patient Orientation module (type 2) takes the place of Patient Position.
    series.pop("PatientPosition", None)
    complete(series, _TYPE_2)
