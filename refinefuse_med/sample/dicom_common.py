"""What all objects of the sample study share: patient, study, equipment, planes, pixels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from refinefuse_med.volume import Grid

__all__ = [
    "PATIENT_WEIGHT_KG",
    "SCAN_START",
    "Uids",
    "add_common",
    "add_nuclear",
    "add_pixels",
    "add_plane",
    "coded",
    "ds",
    "orientation_of",
    "save",
]

PATIENT_WEIGHT_KG: Final = 70.0

SCAN_START: Final = {
    "MR": datetime(2020, 1, 15, 9),
    "CT": datetime(2020, 1, 15, 10),
    "PT": datetime(2020, 1, 15, 11),
    "NM": datetime(2020, 1, 15, 14),
}
"""When each series begins, by modality. Of nobody's study: the date means nothing."""


@dataclass(frozen=True)
class Uids:
    """Identifiers of one series that follow from texts: the same texts, the same UIDs.

    Attributes
    ----------
    study_key : str
        Shared by all series of the study.
    series_key : str
    """

    study_key: str
    series_key: str

    @property
    def study(self) -> UID:
        """Study Instance UID."""
        return generate_uid(entropy_srcs=[self.study_key, "study"])

    def of(self, what: str) -> UID:
        """UID of `what` within the series."""
        return generate_uid(entropy_srcs=[self.study_key, self.series_key, what])


def ds(values: Any) -> list[str]:
    """Numbers as decimal strings of at most 16 characters, as exact as these allow."""
    return [format_number_as_ds(float(v)) for v in np.ravel(values)]


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def add_common(dataset: Dataset, *, patient_id: str, uids: Uids, number: int, index: int) -> None:
    """Patient, General Study, General Series, Frame of Reference, Equipment, SOP Common."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPInstanceUID = uids.of(f"instance {index}")
    dataset.PatientName = "Sample^Simulated"
    dataset.PatientID = patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientWeight = ds(PATIENT_WEIGHT_KG)[0]
    dataset.PatientSize = "1.75"
    dataset.StudyInstanceUID = uids.study
    dataset.StudyID = "1"
    dataset.StudyDescription = "Simulated brain study"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    began = SCAN_START[dataset.Modality]
    moments = {"Study": SCAN_START["MR"], "Series": began, "Acquisition": began, "Content": began}
    for event, moment in moments.items():
        setattr(dataset, f"{event}Date", f"{moment:%Y%m%d}")
        setattr(dataset, f"{event}Time", f"{moment:%H%M%S}")
    dataset.SeriesInstanceUID = uids.of("series")
    dataset.SeriesNumber = number
    dataset.FrameOfReferenceUID = uids.of("frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.BodyPartExamined = "HEAD"
    dataset.Manufacturer = "RefineFuse-Med"
    dataset.ManufacturerModelName = "Simulated scanner"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.InstanceNumber = index
    dataset.AcquisitionNumber = 1
    dataset.ImageComments = "Simulated: shows no person"


def add_plane(dataset: Dataset, grid: Grid, k: int) -> None:
    """Image Plane module (PS3.3 section C.7.6.2) of slice `k`; rows run along I."""
    spacing = grid.spacing_mm
    dataset.PixelSpacing = ds((spacing[1], spacing[0]))
    dataset.SliceThickness = ds(spacing[2])[0]
    dataset.ImageOrientationPatient = orientation_of(grid)
    dataset.ImagePositionPatient = ds((grid.affine_lps @ [0, 0, k, 1])[:3])


def orientation_of(grid: Grid) -> list[str]:
    """Direction cosines of the rows (along I) and the columns (along J), LPS."""
    directions = grid.affine_lps[:3, :2] / grid.spacing_mm[:2]
    return ds(directions.T)


def add_pixels(dataset: Dataset, stored: NDArray[np.uint16]) -> None:
    """Image Pixel module of 16 bits; `stored` has shape (I, J) or (I, J, K)."""
    frames = stored.T  # (J, I) or (K, J, I): rows along I
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    if frames.ndim == 3:
        dataset.NumberOfFrames = frames.shape[0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.ascontiguousarray(frames, "<u2").tobytes()


def add_nuclear(dataset: Dataset) -> None:
    """NM/PET Patient Orientation module (PS3.3 section C.8.4.6): supine, head first."""
    orientation = coded("102538003", "SCT", "recumbent")
    orientation.PatientOrientationModifierCodeSequence = [coded("40199007", "SCT", "supine")]
    dataset.PatientOrientationCodeSequence = [orientation]
    dataset.PatientGantryRelationshipCodeSequence = [coded("102540008", "SCT", "headfirst")]


def save(dataset: Dataset, path: Path) -> None:
    """Write a DICOM file of explicit little endian."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
