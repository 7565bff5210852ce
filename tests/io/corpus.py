"""DICOM series made by code, whose voxel values tell where in the patient they are.

A reader that gets any part of the geometry wrong then reads wrong values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)
from scipy.spatial.transform import Rotation

SLOPE, INTERCEPT = 0.05, -300.0
CLASSES = {"MR": MRImageStorage, "CT": CTImageStorage, "PT": PositronEmissionTomographyImageStorage}
AXIAL = np.array([1.0, 0, 0, 0, 1, 0])
SAGITTAL = np.array([0.0, 1, 0, 0, 0, -1])
OBLIQUE = Rotation.from_euler("xyz", (17, -23, 41), degrees=True).as_matrix()[:, :2].T.ravel()


def value_at(points_lps: np.ndarray) -> np.ndarray:
    """The value that belongs to a place; different under any flip, swap or shift of axes."""
    left, posterior, superior = np.moveaxis(points_lps, -1, 0)
    return 400 + 2 * left + 3 * posterior + 5 * superior + 0.02 * left * posterior


@dataclass
class Scan:
    """A series to be made: its grid, and what its headers say."""

    modality: str = "MR"
    columns: int = 9
    rows: int = 7
    slices: int = 5
    spacing: tuple[float, float, float] = (1.5, 2.25, 4.0)
    orientation: np.ndarray = field(default_factory=lambda: OBLIQUE)
    origin: tuple[float, float, float] = (-31.0, 12.0, -44.0)
    patient: str = "A"
    series_uid: str = field(default_factory=generate_uid)
    frame_of_reference_uid: str = field(default_factory=generate_uid)
    tags: dict[str, Any] = field(default_factory=dict)

    @property
    def affine_lps(self) -> np.ndarray:
        """Voxel index (column, row, slice) to LPS mm."""
        row, column = self.orientation[:3], self.orientation[3:]
        affine = np.eye(4)
        affine[:3, :3] = np.column_stack([row, column, np.cross(row, column)]) * self.spacing
        affine[:3, 3] = self.origin
        return affine

    def position(self, k: float) -> np.ndarray:
        return self.affine_lps[:3, 3] + k * self.affine_lps[:3, 2]

    def plane(self, position: np.ndarray) -> np.ndarray:
        """Values of a slice, shape (rows, columns)."""
        j, i = np.mgrid[: self.rows, : self.columns]
        affine = self.affine_lps
        return value_at(position + i[..., None] * affine[:3, 0] + j[..., None] * affine[:3, 1])

    def truth(self) -> np.ndarray:
        """Values of the whole scan, shape (columns, rows, slices)."""
        return np.stack([self.plane(self.position(k)).T for k in range(self.slices)], axis=-1)


def stored(values: np.ndarray, slope: float = SLOPE, intercept: float = INTERCEPT) -> np.ndarray:
    return np.round((values - intercept) / slope).astype(np.uint16)


def base(scan: Scan, sop_class: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality = scan.modality
    ds.PatientID = scan.patient
    ds.PatientName = f"Name^{scan.patient}"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = scan.series_uid
    ds.FrameOfReferenceUID = scan.frame_of_reference_uid
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = scan.rows, scan.columns
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    return ds


def measures(ds: Dataset, scan: Scan) -> None:
    ds.PixelSpacing = [scan.spacing[1], scan.spacing[0]]
    ds.SliceThickness = scan.spacing[2]


def make_slice(scan: Scan, k: float, slope: float = SLOPE) -> FileDataset:
    """One classic image of a scan, at `k` slice distances from the first."""
    ds = base(scan, CLASSES[scan.modality])
    measures(ds, scan)
    ds.InstanceNumber = int(k) + 1
    ds.ImagePositionPatient = [round(float(v), 9) for v in scan.position(k)]
    ds.ImageOrientationPatient = [round(float(v), 12) for v in scan.orientation]
    ds.RescaleSlope, ds.RescaleIntercept = slope, INTERCEPT
    ds.PixelData = stored(scan.plane(scan.position(k)), slope).tobytes()
    for name, value in scan.tags.items():
        setattr(ds, name, value)
    return ds


def write_scan(
    folder: Path, scan: Scan, change: Callable[[FileDataset, int], Any] | None = None
) -> list[Path]:
    """Write a classic series, file names in an order that is not that of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(0).permutation(scan.slices)
    paths = []
    for k in range(scan.slices):
        ds = make_slice(scan, k)
        if change is not None:
            change(ds, k)
        paths.append(folder / f"im{names[k]:03d}.dcm")
        ds.save_as(paths[-1])
    return paths


def _positioned(scan: Scan, k: int) -> Dataset:
    frame, plane, orientation, pixel, value = (Dataset() for _ in range(5))
    plane.ImagePositionPatient = [round(float(v), 9) for v in scan.position(k)]
    orientation.ImageOrientationPatient = [round(float(v), 12) for v in scan.orientation]
    measures(pixel, scan)
    value.RescaleSlope, value.RescaleIntercept, value.RescaleType = SLOPE, INTERCEPT, "US"
    frame.PlanePositionSequence = Sequence([plane])
    frame.PlaneOrientationSequence = Sequence([orientation])
    frame.PixelMeasuresSequence = Sequence([pixel])
    frame.PixelValueTransformationSequence = Sequence([value])
    return frame


def write_enhanced(path: Path, scan: Scan, order: list[int]) -> Path:
    """Write an enhanced MR object whose frames come in the given order of slices."""
    ds = base(scan, EnhancedMRImageStorage)
    ds.NumberOfFrames = len(order)
    ds.PerFrameFunctionalGroupsSequence = Sequence([_positioned(scan, k) for k in order])
    ds.PixelData = b"".join(stored(scan.plane(scan.position(k))).tobytes() for k in order)
    ds.save_as(path)
    return path


def write_nm(path: Path, scan: Scan, sign: int = 1, detector: bool = True, **tags: Any) -> Path:
    """Write a reconstructed NM object; with sign -1 its frames run against the normal."""
    ds = base(scan, NuclearMedicineImageStorage)
    measures(ds, scan)
    order = list(range(scan.slices))[::sign]
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    ds.NumberOfFrames = ds.NumberOfSlices = scan.slices
    ds.SpacingBetweenSlices = sign * scan.spacing[2]
    ds.RescaleSlope, ds.RescaleIntercept = SLOPE, INTERCEPT
    if detector:
        item = Dataset()
        item.ImagePositionPatient = [round(float(v), 9) for v in scan.position(order[0])]
        item.ImageOrientationPatient = [round(float(v), 12) for v in scan.orientation]
        ds.DetectorInformationSequence = Sequence([item])
    ds.PixelData = b"".join(stored(scan.plane(scan.position(k))).tobytes() for k in order)
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(path)
    return path


def pet_tags(**changes: Any) -> dict[str, Any]:
    """Headers of a static PET in Bq/ml: 70 kg, 200 MBq F-18, 60 min before the scan."""
    agent = Dataset()
    agent.RadionuclideTotalDose = 2e8
    agent.RadionuclideHalfLife = 6586.2
    agent.RadiopharmaceuticalStartTime = "100000.00"
    tags = {
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["ATTN", "DECY", "SCAT"],
        "PatientWeight": 70.0,
        "SeriesDate": "20200101",
        "SeriesTime": "110000.00",
        "AcquisitionDate": "20200101",
        "AcquisitionTime": "110000.00",
        "RadiopharmaceuticalInformationSequence": Sequence([agent]),
    }
    return {**tags, **changes}
