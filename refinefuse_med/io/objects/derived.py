"""What every DICOM series made from another one shares: patient, study, place, provenance."""

from __future__ import annotations

import copy
import hashlib
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from monai.data import MetaTensor
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit
from pydicom.valuerep import validate_value

from refinefuse_med import __version__
from refinefuse_med.io.elements import integer, items, text
from refinefuse_med.io.objects.body_parts import has_no_side
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.io.objects.references import can_be_referred_to
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.io.wording import RESEARCH_ONLY
from refinefuse_med.volume import Keys, SourceHeader, get_meta

__all__ = ["UNTOLD", "carry", "derive_series", "derive_study", "only_instance"]

UNTOLD: Final = datetime(1900, 1, 1)
"""When de-identified objects say that they were written."""

_IDENTITY: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "AccessionNumber",
    "FrameOfReferenceUID",
)
"""Carried over to the letter, whatever they look like: archives match by them."""

_CARRIED: Final = (
    # Patient (PS3.3 C.7.1.1)
    "PatientBirthDate",
    "PatientSex",
    "OtherPatientIDsSequence",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    # General Study, Patient Study (C.7.2.1, C.7.2.2)
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    # General Series, Frame of Reference (C.7.3.1, C.7.4.1)
    "BodyPartExamined",
    "Laterality",
    "PatientPosition",
    "PositionReferenceIndicator",
)
_LOSSY: Final = (
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""General Image (C.7.6.1): once lossy, always lossy."""

_LOSSY_SYNTAXES: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
"""Always lossy; those of JPEG 2000 and JPEG-LS that may be are told by the header alone."""

_TYPE_2: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "PositionReferenceIndicator",
)
"""Present even where nothing is known."""


def derive_study(
    source: SourceHeader,
    volume: MetaTensor,
    seed: str | None = None,
    *,
    deidentified: bool = False,
) -> Dataset:
    """Make the attributes of patient, study and frame of reference that new series share.

    Where `source` has no DICOM headers, an anonymous study is begun. Series that are to
    lie in one study and one frame of reference must share one result of this function: its
    Series Instance UID is what theirs are made from.

    Parameters
    ----------
    source : SourceHeader
        Of the anatomical volume.
    volume : MetaTensor
        A volume on the grid that is written; names the frame of reference, or `source` does.
    seed : str, optional
        What the new UIDs are made from: the same seed, the same UIDs. Random ones without.
    deidentified : bool
        Whether `source` was cleaned by `Deidentifier`: it is noted, and the time of writing not.
    """
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 192"
    now = UNTOLD if deidentified else _now()
    study.ContentDate, study.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for header in source.datasets[:1]:
        for keyword in _IDENTITY:
            if keyword in header:
                study[keyword] = copy.deepcopy(header[keyword])
        carry(header, study, _CARRIED)
        study.SeriesNumber = _series_number(header)
        _take_enhanced_side(header, study)
    if not source.datasets:
        _make_anonymous(study, seed)
    for keyword in _TYPE_2:
        if keyword not in study:
            setattr(study, keyword, None)
    if has_no_side(study.get("BodyPartExamined")):
        study.pop("Laterality", None)
    elif study.get("Laterality") not in ("R", "L"):
        study.Laterality = None  # empty says that it is not known
    if not study.get("StudyInstanceUID"):
        study.StudyInstanceUID = new_uid(seed, "study")
    # That of the volume goes first: what was registered lies in another than its headers say.
    if known := get_meta(volume, Keys.FRAME_OF_REFERENCE_UID):
        study.FrameOfReferenceUID = known
    elif not study.get("FrameOfReferenceUID"):
        study.FrameOfReferenceUID = new_uid(seed, "frame of reference")
    study.SeriesInstanceUID = new_uid(seed, "series")
    if deidentified:
        _note_deidentification(study)
    return study


def _now() -> datetime:
    """When this is written, or is to be taken as written: see reproducible-builds.org."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now()


def _note_deidentification(study: Dataset) -> None:
    """Say what was done (PS3.3 C.7.1.1, PS3.15 E.1.1): descriptors are ours, none is carried."""
    study.PatientIdentityRemoved = "YES"
    study.LongitudinalTemporalInformationModified = "REMOVED"
    study.DeidentificationMethod = [
        "DICOM PS3.15 basic profile, headers only",
        f"RefineFuse-Med {__version__}",
    ]
    study.DeidentificationMethodCodeSequence = [
        code_item(codes.DCM.BasicApplicationConfidentialityProfile),
        code_item(codes.DCM.CleanDescriptorsOption),
    ]


def _take_enhanced_side(header: Dataset, study: Dataset) -> None:
    """Enhanced images keep the side in a functional group (PS3.3 C.7.6.16.2.8)."""
    for groups in items(header, "SharedFunctionalGroupsSequence"):
        for anatomy in items(groups, "FrameAnatomySequence"):
            side = text(anatomy, "FrameLaterality")
            if side in ("R", "L"):
                study.Laterality = side


def _make_anonymous(study: Dataset, seed: str | None) -> None:
    study.PatientName = "Anonymous"
    # One of its own, lest an archive take all anonymous patients for one.
    own = secrets.token_hex(4) if seed is None else hashlib.sha256(seed.encode()).hexdigest()[:8]
    study.PatientID = f"ANON-{own.upper()}"
    study.StudyDate, study.StudyTime = study.ContentDate, study.ContentTime
    study.StudyID = "1"


def carry(header: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy the attributes that are there and valid: faults of headers are not handed on."""
    for keyword in keywords:
        if keyword in header and _is_valid(header[keyword]):
            target[keyword] = copy.deepcopy(header[keyword])


def _is_valid(element: DataElement) -> bool:
    if element.VR == "SQ" or element.is_empty:
        return True
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            text = str(value) if element.VR in ("DS", "IS") else value
            validate_value(element.VR, text, RAISE)
    except (ValueError, TypeError):
        return False
    return True


def _series_number(header: Dataset) -> int | None:
    """Make room for derived series beside the source series: 7 gives 700."""
    number = integer(header, "SeriesNumber", -1)
    return None if number < 0 else number * 100 % 2**31


def derive_series(
    study: Dataset,
    *,
    sop_class_uid: str,
    modality: str,
    description: str,
    derivation: str | None,
    offset: int,
    code: Code | None = None,
    sources: Iterable[SourceHeader] = (),
) -> Dataset:
    """Begin a series: what its instances share beyond the study.

    Parameters
    ----------
    study : Dataset
        From `derive_study`.
    sop_class_uid, modality, description
        Of the new series; `description` is cut to the 64 characters of Series Description.
    derivation : str or None
        How the images were made, in words; None for objects that are no images.
    offset : int
        Tells apart the series that one study gets: added to its series number, and part of
        its UID.
    code : Code, optional
        The derivation, coded (PS3.16 CID 7203).
    sources : iterable of SourceHeader
        The series it was made from.
    """
    series = copy.deepcopy(study)
    series.SOPClassUID = sop_class_uid
    series.Modality = modality
    series.SeriesInstanceUID = new_uid(study.SeriesInstanceUID, offset)
    series.SeriesNumber = int(study.get("SeriesNumber") or 0) + offset
    series.SeriesDescription = _ascii(description, 64)
    for event in ("InstanceCreation", "Series"):
        setattr(series, f"{event}Date", study.ContentDate)
        setattr(series, f"{event}Time", study.ContentTime)
    series.Manufacturer = "The RefineFuse-Med developers"
    series.ManufacturerModelName = "RefineFuse-Med"
    series.SoftwareVersions = __version__
    series.DeviceSerialNumber = __version__  # type 1 of enhanced objects; software has no other
    sources = [source for source in sources if source.datasets]
    if derivation is not None:
        series.DerivationDescription = _ascii(derivation, 1024)
        series.ImageComments = RESEARCH_ONLY
        series.BurnedInAnnotation = "NO"
        _mark_lossy(series, sources)
    if code is not None:
        series.DerivationCodeSequence = [code_item(code)]
    headers = [source.datasets[0] for source in sources]
    if known := [header for header in headers if can_be_referred_to(header)]:
        series.RelatedSeriesSequence = [_related(header) for header in known]
    equipment = [_scanner(header) for header in headers] + [_ourselves(study)]
    series.ContributingEquipmentSequence = equipment
    return series


def only_instance(series: Dataset, label: str, description: str | None = None) -> Dataset:
    """Make a series its own only instance, with the Content Identification macro (PS3.3 10.9)."""
    series.SOPInstanceUID = new_uid(series.SeriesInstanceUID, 0)
    series.InstanceNumber = 1
    series.ContentLabel = label
    series.ContentDescription = description
    series.ContentCreatorName = None
    return series


def _mark_lossy(series: Dataset, sources: Iterable[SourceHeader]) -> None:
    """What was lossy once stays so (PS3.3 C.7.6.1.1.5), even if only the encoding tells."""
    for header in (header for source in sources for header in source.datasets):
        if text(header, "LossyImageCompression") == "01":
            carry(header, series, _LOSSY)
            return
        meta = getattr(header, "file_meta", None)
        if meta is not None and text(meta, "TransferSyntaxUID") in _LOSSY_SYNTAXES:
            series.LossyImageCompression = "01"
            return


def _ascii(text: str, length: int) -> str:
    return text.encode("ascii", "replace").decode("ascii")[:length]


def _related(header: Dataset) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = header.StudyInstanceUID
    item.SeriesInstanceUID = header.SeriesInstanceUID
    item.PurposeOfReferenceCodeSequence = []
    return item


def _scanner(header: Dataset) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    item.Manufacturer = None
    carry(header, item, ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"))
    item.Manufacturer = item.Manufacturer or "unknown"
    return item


def _ourselves(study: Dataset) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.ProcessingEquipment)]
    item.Manufacturer = "The RefineFuse-Med developers"
    item.ManufacturerModelName = "RefineFuse-Med"
    item.SoftwareVersions = __version__
    item.ContributionDateTime = f"{study.ContentDate}{study.ContentTime}"
    return item
