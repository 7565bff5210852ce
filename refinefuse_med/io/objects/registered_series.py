"""Writing the registered functional volume as DICOM, in its own units.

PET and CT become objects of their own class, with what their headers say of the tracer
and the acquisition, so that a viewer measures SUV and HU in them. What has no such
headers (a NIfTI file), or a class that is not a stack of slices (NM), becomes a
Secondary Capture with a modality LUT and a real world value mapping.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

from refinefuse_med import __version__
from refinefuse_med.io.objects.derived import carry, code_item, derive_series, derive_study
from refinefuse_med.io.objects.slices import write_slices
from refinefuse_med.volume import Keys, SourceHeader, get_meta, grid_of, modality_of, source_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["write_registered_series"]

_SERIES_OFFSET: Final = 2
_STORED_MAX: Final = 2**15 - 1

_ACQUISITION: Final = (
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "PatientWeight",
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

_PET_UNITS: Final = {"SUVbw": "GML", "Bq/ml": "BQML", "counts": "CNTS"}
"""Units (PS3.3 C.8.9.1.1.3)."""

_PET_REQUIRED: Final = ("Units", "CountsSource", "DecayCorrection", "FrameReferenceTime")
"""Type 1 of the PET modules, which only the scanner knows."""

_PET_TYPE_2: Final = (
    "ActualFrameDuration",
    "CollimatorType",
    "CorrectedImage",
    "PatientGantryRelationshipCodeSequence",
    "PatientOrientationCodeSequence",
    "RadiopharmaceuticalInformationSequence",
)

_UCUM: Final = {
    "SUVbw": Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    "Bq/ml": Code("Bq/ml", "UCUM", "Becquerels/milliliter"),
    "HU": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "counts": Code("{counts}", "UCUM", "Counts"),
}
_NO_UNITS: Final = Code("1", "UCUM", "no units")


def write_registered_series(
    volume: MetaTensor,
    source: SourceHeader,
    folder: str | Path,
    *,
    description: str = "RefineFuse registered",
    window: tuple[float, float] | None = None,
    study: Dataset | None = None,
) -> list[Path]:
    """Write the functional volume, resampled on the anatomical grid, as a derived series.

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K)
        In real units, with its own source header. Stored in 16 bits: HU as integers,
        anything else in steps of 1/32767 of the largest magnitude.
    source : SourceHeader
        Of the anatomical volume: gives patient, study and frame of reference.
    folder : Path
        Gets ``0001.dcm`` and so on, in the order of K.
    description : str
        Series Description.
    window : (float, float), optional
        Low and high to show at first, in the volume's units; by default all there is.
    study : Dataset, optional
        From `refinefuse_med.io.objects.derived.derive_study`, for series that share one study.

    Returns
    -------
    list of Path
        The files, in the order of K.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written.
    """
    functional = source_of(volume)
    sop_class = _sop_class(functional)
    series = derive_series(
        derive_study(source, volume) if study is None else study,
        sop_class_uid=sop_class,
        modality=modality_of(volume),
        description=description,
        derivation=f"Registered to the related series and resampled by RefineFuse-Med "
        f"{__version__}",
        offset=_SERIES_OFFSET,
        sources=[source, functional],
    )
    series.DerivationCodeSequence = [code_item(codes.DCM.SpatialResampling)]
    units = get_meta(volume, Keys.UNITS) or "a.u."
    values = volume.as_tensor()[0].cpu().numpy().transpose(2, 1, 0)
    stored = _store(series, values, units)
    _show(series, window or (float(values.min()), float(values.max())))
    if sop_class == PositronEmissionTomographyImageStorage:
        _as_pet(series, functional.datasets[0], units, slices=len(stored))
    elif sop_class == CTImageStorage:
        _as_ct(series, functional.datasets[0])
    else:
        _as_secondary_capture(series, units)
    return write_slices(series, grid_of(volume), stored, folder)


def _sop_class(functional: SourceHeader) -> str:
    headers = functional.datasets
    classes = {header.get("SOPClassUID") for header in headers}
    if classes == {CTImageStorage}:
        return CTImageStorage
    is_pet = classes == {PositronEmissionTomographyImageStorage}
    if is_pet and all(k in headers[0] and not headers[0][k].is_empty for k in _PET_REQUIRED):
        return PositronEmissionTomographyImageStorage
    return SecondaryCaptureImageStorage


def _store(series: Dataset, values: NDArray[np.float32], units: str) -> NDArray[np.int16]:
    largest = float(np.abs(values).max())
    step = 1.0 if units == "HU" else (largest or 1.0) / _STORED_MAX
    # As the file will say it, in its 16 characters.
    slope = DSfloat(step, auto_format=True)
    series.RescaleSlope = slope
    series.RescaleIntercept = 0
    stored = np.clip(np.rint(values / float(str(slope))), -_STORED_MAX - 1, _STORED_MAX)
    series.PhotometricInterpretation = "MONOCHROME2"
    series.SamplesPerPixel = 1
    series.Rows, series.Columns = values.shape[1:]
    series.BitsAllocated = series.BitsStored = 16
    series.HighBit = 15
    series.PixelRepresentation = 1
    return np.ascontiguousarray(stored).astype("<i2")


def _show(series: Dataset, window: tuple[float, float]) -> None:
    """Add the VOI LUT module (PS3.3 C.11.2)."""
    low, high = window
    width = max(high - low, 1e-6)
    series.WindowCenter = DSfloat((low + high) / 2, auto_format=True)
    series.WindowWidth = DSfloat(width, auto_format=True)
    if width < 1:  # which the default function, LINEAR, does not allow
        series.VOILUTFunction = "LINEAR_EXACT"


def _inherit(series: Dataset, header: Dataset) -> None:
    """Take over how the images were acquired (groups 0018 and 0054), but not where."""
    acquired = [
        element.keyword
        for element in header
        if element.tag.group in (0x0018, 0x0054)
        and element.keyword  # private elements have none
        and element.keyword not in _NOT_CARRIED
    ]
    carry(header, series, [*acquired, *_ACQUISITION])


def _as_pet(series: Dataset, header: Dataset, units: str, slices: int) -> None:
    _inherit(series, header)
    series.ImageType = ["DERIVED", "PRIMARY"]  # PS3.3 C.8.9.4.1.1 has no SECONDARY
    carry(header, series, ("CorrectedImage",))
    series.Units = _PET_UNITS.get(units, header.get("Units"))
    if units == "SUVbw":
        series.SUVType = "BW"
    whole_body = "WHOLE BODY" in (header.get("SeriesType") or ())
    series.SeriesType = ["WHOLE BODY" if whole_body else "STATIC", "IMAGE"]
    series.NumberOfSlices = slices
    # The NM/PET Patient Orientation module (type 2) takes the place of Patient Position.
    series.pop("PatientPosition", None)
    _complete(series, _PET_TYPE_2)


def _as_ct(series: Dataset, header: Dataset) -> None:
    _inherit(series, header)
    series.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    series.AcquisitionNumber = header.get("AcquisitionNumber")
    series.RescaleType = "HU"
    _complete(series, ("KVP",))


def _complete(series: Dataset, keywords: Iterable[str]) -> None:
    """Leave empty what must be present and is not known (type 2)."""
    for keyword in keywords:
        if keyword not in series:
            setattr(series, keyword, None)


def _as_secondary_capture(series: Dataset, units: str) -> None:
    series.ImageType = ["DERIVED", "SECONDARY"]
    series.ConversionType = "WSD"
    series.RescaleType = "HU" if units == "HU" else "US"
    mapping = Dataset()
    mapping.LUTExplanation = mapping.LUTLabel = units
    mapping.RealWorldValueFirstValueMapped = -_STORED_MAX - 1
    mapping.RealWorldValueLastValueMapped = _STORED_MAX
    mapping.RealWorldValueSlope = float(series.RescaleSlope)
    mapping.RealWorldValueIntercept = 0.0
    mapping.MeasurementUnitsCodeSequence = [code_item(_UCUM.get(units, _NO_UNITS))]
    series.RealWorldValueMappingSequence = [mapping]
