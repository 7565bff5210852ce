"""The sample SPECT as one reconstructed multi-frame NM object."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import NuclearMedicineImageStorage

from refinefuse_med.sample.dicom_common import (
    add_nuclear,
    add_pixels,
    coded,
    ds,
    orientation_of,
)
from refinefuse_med.volume import Grid, grid_of

__all__ = ["nm_object"]


def nm_object(volume: MetaTensor) -> Dataset:
    """Perfusion SPECT in counts, NM Image IOD (PS3.3 section A.5), type RECON TOMO.

    The detector's position is that of the first frame; the sign of Spacing Between Slices
    says to which side of it the others lie (PS3.3 sections C.8.4.11 and C.8.4.15).
    """
    grid = grid_of(volume)
    slices = grid.shape[2]
    dataset = Dataset()
    dataset.SOPClassUID = NuclearMedicineImageStorage
    dataset.Modality = "NM"
    dataset.SeriesDescription = "Perfusion SPECT (simulated)"
    dataset.ImageType = ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"]
    dataset.PixelSpacing = ds((grid.spacing_mm[1], grid.spacing_mm[0]))
    dataset.SliceThickness = ds(grid.spacing_mm[2])[0]
    dataset.SpacingBetweenSlices = ds(np.copysign(grid.spacing_mm[2], _handedness(grid)))[0]
    dataset.FrameIncrementPointer = Tag("SliceVector")
    dataset.NumberOfSlices = slices
    dataset.SliceVector = list(range(1, slices + 1))
    dataset.CountsAccumulated = int(volume.sum())
    dataset.NumberOfEnergyWindows = 1
    dataset.EnergyWindowInformationSequence = [_technetium_window()]
    dataset.RadiopharmaceuticalInformationSequence = [_tracer()]
    dataset.NumberOfDetectors = 1
    dataset.DetectorInformationSequence = [_detector(grid)]
    dataset.NumberOfRotations = 1
    dataset.RotationInformationSequence = [_rotation()]
    dataset.TypeOfDetectorMotion = "STEP AND SHOOT"
    dataset.AcquisitionTerminationCondition = "TIME"
    add_nuclear(dataset)
    add_pixels(dataset, volume[0].numpy().round().astype(np.uint16))
    return dataset


def _handedness(grid: Grid) -> float:
    """Positive where the slices advance along the cross product of rows and columns."""
    return float(np.linalg.det(grid.affine_lps[:3, :3]))


def _detector(grid: Grid) -> Dataset:
    detector = Dataset()
    detector.CollimatorType = "PARA"
    detector.FocalDistance = "0"
    detector.ImagePositionPatient = ds(grid.affine_lps[:3, 3])
    detector.ImageOrientationPatient = orientation_of(grid)
    return detector


def _rotation() -> Dataset:
    rotation = Dataset()
    rotation.StartAngle = "0"
    rotation.AngularStep = "3"
    rotation.RotationDirection = "CW"
    rotation.ScanArc = "360"
    rotation.ActualFrameDuration = 20_000
    rotation.RadialPosition = ""
    rotation.NumberOfFramesInRotation = 120
    return rotation


def _technetium_window() -> Dataset:
    limits = Dataset()
    limits.EnergyWindowLowerLimit = "126"
    limits.EnergyWindowUpperLimit = "154"
    window = Dataset()
    window.EnergyWindowName = "Tc-99m"
    window.EnergyWindowRangeSequence = [limits]
    return window


def _tracer() -> Dataset:
    tracer = Dataset()
    tracer.Radiopharmaceutical = "Tc-99m HMPAO"
    tracer.RadionuclideCodeSequence = [coded("72454008", "SCT", "^99m^Technetium")]
    return tracer
