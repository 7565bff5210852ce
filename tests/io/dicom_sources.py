"""Made-up DICOM headers of a patient who never was, on any grid."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    MRImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from refinefuse_med.volume import Grid, SourceHeader

STUDY_UID = "2.25.11"
FRAME_UID = "2.25.12"


def mr_source(grid: Grid, **changes: object) -> SourceHeader:
    """An MR series, one header a slice; `changes` are attributes to set (None: leave out)."""
    return _source(grid, MRImageStorage, "MR", changes)


def ct_source(grid: Grid, **changes: object) -> SourceHeader:
    """A CT series, one header a slice."""
    return _source(grid, CTImageStorage, "CT", {"KVP": "120", **changes})


def pet_source(grid: Grid, **changes: object) -> SourceHeader:
    """A PET series, one header a slice."""
    tracer = Dataset()
    tracer.Radiopharmaceutical = "FDG"
    tracer.RadiopharmaceuticalStartTime = "100000"
    tracer.RadionuclideTotalDose = "3.7E8"
    tracer.RadionuclideHalfLife = "6586.2"
    tracer.RadionuclideCodeSequence = []
    pet = {
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "DecayCorrection": "START",
        "DecayFactor": "1.02",
        "FrameReferenceTime": "0",
        "ActualFrameDuration": "180000",
        "CorrectedImage": ["DECY", "ATTN"],
        "CollimatorType": "RING",
        "SeriesType": ["STATIC", "IMAGE"],
        "NumberOfSlices": grid.shape[2],
        "ImageIndex": 1,
        "SeriesDate": "20200102",
        "SeriesTime": "110000",
        "AcquisitionDate": "20200102",
        "AcquisitionTime": "110000",
        "PatientWeight": "71",
        "RadiopharmaceuticalInformationSequence": [tracer],
    }
    return _source(grid, PositronEmissionTomographyImageStorage, "PT", {**pet, **changes})


def nm_source(grid: Grid, **changes: object) -> SourceHeader:
    """A reconstructed SPECT: one header for all slices."""
    detector = Dataset()
    detector.CollimatorType = "PARA"
    detector.FocalDistance = "0"
    detector.ImagePositionPatient = _position(grid, 0)
    detector.ImageOrientationPatient = _orientation(grid)
    rotation = Dataset()
    rotation.StartAngle = "0"
    rotation.AngularStep = "3"
    rotation.RotationDirection = "CW"
    rotation.ScanArc = "360"
    rotation.ActualFrameDuration = "20000"
    rotation.NumberOfFramesInRotation = 120
    tracer = Dataset()
    tracer.Radiopharmaceutical = "Tc-99m HMPAO"
    tracer.RadionuclideCodeSequence = []
    nm = {
        "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        "NumberOfFrames": grid.shape[2],
        "NumberOfSlices": grid.shape[2],
        "SliceVector": list(range(1, grid.shape[2] + 1)),
        "SpacingBetweenSlices": "-4",
        "CountsAccumulated": 1000,
        "NumberOfRotations": 1,
        "TypeOfDetectorMotion": "STEP AND SHOOT",
        "AcquisitionTerminationCondition": "TIME",
        "DetectorInformationSequence": [detector],
        "RotationInformationSequence": [rotation],
        "EnergyWindowInformationSequence": [],
        "RadiopharmaceuticalInformationSequence": [tracer],
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
    }
    source = _source(grid, NuclearMedicineImageStorage, "NM", {**nm, **changes})
    return SourceHeader("dicom", "scan", source.datasets[:1])


def enhanced_source(grid: Grid, modality: str = "MR", **changes: object) -> SourceHeader:
    """An enhanced multi-frame MR or CT: one header for all slices."""
    anatomy = Dataset()
    anatomy.FrameLaterality = "L"
    shared = Dataset()
    shared.FrameAnatomySequence = [anatomy]
    places = []
    for k in range(grid.shape[2]):
        place = Dataset()
        place.ImagePositionPatient = _position(grid, k)
        groups = Dataset()
        groups.PlanePositionSequence = [place]
        places.append(groups)
    enhanced = {
        "NumberOfFrames": grid.shape[2],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": places,
        "BodyPartExamined": None,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
    }
    sop_class = EnhancedMRImageStorage if modality == "MR" else EnhancedCTImageStorage
    source = _source(grid, sop_class, modality, {**enhanced, **changes})
    return SourceHeader("dicom", "scan", source.datasets[:1])


def _position(grid: Grid, k: int) -> list[str]:
    return [f"{v:.6f}" for v in grid.affine_lps[:3] @ np.array([0, 0, k, 1])]


def _orientation(grid: Grid) -> list[str]:
    return [f"{v:.6f}" for v in (grid.affine_lps[:3, :2] / grid.spacing_mm[:2]).T.ravel()]


def _source(grid: Grid, sop_class: str, modality: str, changes: dict[str, object]) -> SourceHeader:
    series_uid = generate_uid(prefix=None)
    headers = []
    for k in range(grid.shape[2]):
        header = Dataset()
        header.SpecificCharacterSet = "ISO_IR 100"
        header.SOPClassUID = sop_class
        header.SOPInstanceUID = generate_uid(prefix=None)
        header.Modality = modality
        header.Manufacturer = "Maker"
        header.ManufacturerModelName = "Scanner"
        header.PatientName = "Doe^Jane"
        header.PatientID = "P1"
        header.PatientBirthDate = "19500101"
        header.PatientSex = "F"
        header.StudyInstanceUID = STUDY_UID
        header.StudyDate = "20200102"
        header.StudyTime = "100000"
        header.StudyID = "S1"
        header.AccessionNumber = "A1"
        header.SeriesInstanceUID = series_uid
        header.SeriesNumber = 7
        header.InstanceNumber = k + 1
        header.FrameOfReferenceUID = FRAME_UID
        header.PositionReferenceIndicator = ""
        header.BodyPartExamined = "BRAIN"
        header.PatientPosition = "HFS"
        header.Rows, header.Columns = grid.shape[1], grid.shape[0]
        header.ImagePositionPatient = _position(grid, k)
        header.ImageOrientationPatient = _orientation(grid)
        for keyword, value in changes.items():
            if value is None:
                header.pop(keyword, None)
            else:
                setattr(header, keyword, value)
        headers.append(header)
    return SourceHeader("dicom", "scan", tuple(headers))
