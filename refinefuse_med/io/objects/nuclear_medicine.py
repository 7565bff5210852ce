"""The registered volume as one multi-frame Nuclear Medicine Image (PS3.3 A.5), RECON TOMO."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from refinefuse_med.io.elements import items
from refinefuse_med.io.objects.acquisition import complete, inherit
from refinefuse_med.io.objects.derived import carry
from refinefuse_med.io.objects.slices import decimals, place
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import Grid

__all__ = ["as_nuclear_medicine"]

_TYPE_2: Final = (
    "CountsAccumulated",
    "EnergyWindowInformationSequence",
    "PatientGantryRelationshipCodeSequence",
    "PatientOrientationCodeSequence",
    "RadiopharmaceuticalInformationSequence",
    "RotationInformationSequence",
)
_OF_OTHER_FRAMES: Final = (
    # vectors of the source's frames, and what hangs on gates and time slots
    "AngularViewVector",
    "DetectorVector",
    "EnergyWindowVector",
    "GatedInformationSequence",
    "PhaseInformationSequence",
    "PhaseVector",
    "RRIntervalVector",
    "RotationVector",
    "SliceVector",
    "TimeSlotVector",
    "TimeSliceVector",
)


def as_nuclear_medicine(series: Dataset, header: Dataset, grid: Grid) -> bool:
    """Make a series its one instance, but for its pixels.

    The detector's position is that of the first frame; the sign of Spacing Between Slices
    says to which side of it the others lie (PS3.3 C.8.4.11, C.8.4.15). Not every reader looks at
    it: dcm2niix takes the frames to run towards left, back or head, so that is how they run.

    Parameters
    ----------
    series : Dataset
        From `derive_series`, with its pixels described.
    header : Dataset
        Of the NM source.
    grid : Grid
        Where the frames lie.

    Returns
    -------
    bool
        Whether the frames run against the slices of the grid.
    """
    inherit(series, header)
    for keyword in _OF_OTHER_FRAMES:
        series.pop(keyword, None)
    slices = grid.shape[2]
    # PS3.3 C.8.4.9.1.1 has no SECONDARY
    series.ImageType = ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    series.SOPInstanceUID = new_uid(series.SeriesInstanceUID, 0)
    series.InstanceNumber = 1
    series.NumberOfFrames = series.NumberOfSlices = slices
    series.FrameIncrementPointer = Tag("SliceVector")
    series.SliceVector = list(range(1, slices + 1))
    series.NumberOfEnergyWindows = series.NumberOfDetectors = 1
    axes = grid.affine_lps[:3, :3]
    step = axes[:, 2]
    backwards = bool(step[np.abs(step).argmax()] < 0)
    along_normal = (np.linalg.det(axes) > 0) != backwards
    plane = Dataset()
    place(plane, grid, slices - 1 if backwards else 0)
    for keyword in ("PixelSpacing", "SliceThickness"):
        series[keyword] = plane[keyword]
    series.SpacingBetweenSlices = decimals([grid.spacing_mm[2] * (1 if along_normal else -1)])[0]
    series.DetectorInformationSequence = [_detector(header, plane)]
    # The NM/PET Patient Orientation module (type 2) takes the place of Patient Position.
    series.pop("PatientPosition", None)
    complete(series, _TYPE_2)
    return backwards


def _detector(header: Dataset, plane: Dataset) -> Dataset:
    detector = Dataset()
    for old in items(header, "DetectorInformationSequence")[:1]:
        carry(old, detector, ("CollimatorGridName", "CollimatorType", "FocalDistance"))
    complete(detector, ("CollimatorType", "FocalDistance"))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        detector[keyword] = plane[keyword]
    return detector
