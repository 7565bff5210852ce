"""What a registered series takes over of how its images were acquired."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydicom.dataset import Dataset

from refinefuse_med.io.objects.derived import carry

__all__ = ["complete", "inherit"]

_ACQUISITION: Final = (
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
)
"""What SUV hangs on: with decay corrected to the start, the series time is the reference."""

_NOT_CARRIED: Final = (
    # true of the grid the volume was acquired on, not of the one it is written on
    "SliceThickness",
    "SpacingBetweenSlices",
    "GantryDetectorTilt",
    "ReconstructionDiameter",
    "TableHeight",
    # of the scanner
    "DeviceSerialNumber",
    "SoftwareVersions",
    # of the anatomical series, whose frame of reference this one has now
    "PatientPosition",
    "BodyPartExamined",
    # of series with more than one volume
    "NumberOfTimeSlices",
    "NumberOfTimeSlots",
    "NumberOfRRIntervals",
)


def inherit(series: Dataset, header: Dataset) -> None:
    """Take over how the images were acquired (groups 0018 and 0054), but not where."""
    acquired = [
        element.keyword
        for element in header
        if element.tag.group in (0x0018, 0x0054)
        and element.keyword  # private elements have none
        and element.keyword not in _NOT_CARRIED
    ]
    # The weight is the study's, and all objects of one must say the same.
    weight = () if series.get("PatientWeight") else ("PatientWeight",)
    carry(header, series, [*acquired, *_ACQUISITION, *weight])


def complete(series: Dataset, keywords: Iterable[str]) -> None:
    """Leave empty what must be present and is not known (type 2)."""
    for keyword in keywords:
        if keyword not in series:
            setattr(series, keyword, None)
