"""The sample MR, CT and PET as classic series: one object a slice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from refinefuse_med.sample.dicom_common import (
    PATIENT_WEIGHT_KG,
    SCAN_START,
    add_nuclear,
    add_pixels,
    add_plane,
    coded,
    ds,
)
from refinefuse_med.volume import grid_of

__all__ = ["ct_objects", "mr_objects", "pet_objects"]

HU_OFFSET: Final = 1024
FDG_HALF_LIFE_S: Final = 6586.2
DOSE_BQ: Final = 2.5e8
UPTAKE_S: Final = 3600.0
"""From the injection to the scan."""
SCAN_S: Final = 600.0


def mr_objects(volume: MetaTensor) -> Iterator[Dataset]:
    """T1-weighted gradient echo, MR Image IOD (PS3.3 section A.4)."""
    for dataset, values in _slices(volume, MRImageStorage, "MR", "T1 3D"):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        dataset.PatientPosition = "HFS"
        dataset.ScanningSequence = ["GR", "IR"]
        dataset.SequenceVariant = ["SK", "SP", "MP"]
        dataset.ScanOptions = ""
        dataset.MRAcquisitionType = "3D"
        dataset.RepetitionTime = "2300"
        dataset.EchoTime = "2.98"
        dataset.InversionTime = "900"
        dataset.FlipAngle = "9"
        dataset.EchoTrainLength = 1
        dataset.MagneticFieldStrength = "3"
        dataset.WindowCenter, dataset.WindowWidth = "420", "840"
        add_pixels(dataset, values.round().astype(np.uint16))
        yield dataset


def ct_objects(volume: MetaTensor) -> Iterator[Dataset]:
    """Head CT, CT Image IOD (PS3.3 section A.3)."""
    for dataset, values in _slices(volume, CTImageStorage, "CT", "Head CT"):
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientPosition = "HFS"
        dataset.KVP = "120"
        dataset.ConvolutionKernel = "SOFT"
        dataset.RescaleIntercept, dataset.RescaleSlope = str(-HU_OFFSET), "1"
        dataset.RescaleType = "HU"
        dataset.WindowCenter, dataset.WindowWidth = "40", "100"
        add_pixels(dataset, (values + HU_OFFSET).round().astype(np.uint16))
        yield dataset


def pet_objects(volume: MetaTensor) -> Iterator[Dataset]:
    """FDG-PET in Bq/ml, PET Image IOD (PS3.3 section A.21), decay-corrected to its start."""
    grid = grid_of(volume)
    dose_at_scan = DOSE_BQ * 2 ** (-UPTAKE_S / FDG_HALF_LIFE_S)
    bqml_of_suv = dose_at_scan / (PATIENT_WEIGHT_KG * 1000)
    # The slope as written, so that rounding it to 16 characters costs no accuracy.
    slope = ds(float(volume.max()) * bqml_of_suv / 65000)[0]
    scanned = _slices(volume, PositronEmissionTomographyImageStorage, "PT", "FDG PET")
    for index, (dataset, values) in enumerate(scanned, start=1):
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.Units = "BQML"
        dataset.CountsSource = "EMISSION"
        dataset.SeriesType = ["STATIC", "IMAGE"]
        dataset.NumberOfSlices = grid.shape[2]
        dataset.ImageIndex = index
        dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
        dataset.DecayCorrection = "START"
        dataset.AttenuationCorrectionMethod = "simulated"
        dataset.ScatterCorrectionMethod = "simulated"
        dataset.RandomsCorrectionMethod = "DLYD"
        dataset.CollimatorType = "NONE"
        dataset.FrameReferenceTime = ds(SCAN_S * 1000 / 2)[0]
        dataset.ActualFrameDuration = int(SCAN_S * 1000)
        dataset.DecayFactor = ds(2 ** (SCAN_S / 2 / FDG_HALF_LIFE_S))[0]
        dataset.RadiopharmaceuticalInformationSequence = [_fdg()]
        add_nuclear(dataset)
        dataset.RescaleIntercept, dataset.RescaleSlope = "0", slope
        add_pixels(dataset, (values * bqml_of_suv / float(slope)).round().astype(np.uint16))
        yield dataset


def _slices(
    volume: MetaTensor, sop_class: str, modality: str, description: str
) -> Iterator[tuple[Dataset, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    """An object for each slice, its plane set, and the slice's values, shape (I, J)."""
    grid, values = grid_of(volume), volume[0].numpy()
    for k in range(grid.shape[2]):
        dataset = Dataset()
        dataset.SOPClassUID = sop_class
        dataset.Modality = modality
        dataset.SeriesDescription = f"{description} (simulated)"
        add_plane(dataset, grid, k)
        yield dataset, values[:, :, k]


def _fdg() -> Dataset:
    tracer = Dataset()
    tracer.Radiopharmaceutical = "FDG"
    tracer.RadiopharmaceuticalCodeSequence = [coded("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    tracer.RadionuclideCodeSequence = [coded("77004003", "SCT", "^18^Fluorine")]
    injected = SCAN_START["PT"] - timedelta(seconds=UPTAKE_S)
    tracer.RadiopharmaceuticalStartTime = f"{injected:%H%M%S}"
    tracer.RadiopharmaceuticalStartDateTime = f"{injected:%Y%m%d%H%M%S}"
    tracer.RadionuclideTotalDose = ds(DOSE_BQ)[0]
    tracer.RadionuclideHalfLife = ds(FDG_HALF_LIFE_S)[0]
    tracer.RadionuclidePositronFraction = "0.967"
    tracer.RadiopharmaceuticalVolume = ""
    return tracer
