"""Elements of a DICOM header: which are needed, and their values without surprises."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID

__all__ = [
    "NEEDED",
    "image_type",
    "integer",
    "items",
    "numbers",
    "quiet",
    "settle",
    "text",
    "uid_name",
]

NEEDED: Final[tuple[str | int, ...]] = (
    # what it is
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "StudyDate",
    "BodyPartExamined",
    "MRAcquisitionType",
    # how many images there should be
    "ImagesInAcquisition",
    "NumberOfSeriesRelatedInstances",
    "NumberOfTimeSlices",
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
    # where it is
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "NumberOfFrames",
    "NumberOfSlices",
    "DetectorInformationSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "SliceVector",
    "EnergyWindowVector",
    "RRIntervalVector",
    "TimeSlotVector",
    # what tells images at one place apart, as `refinefuse_med.io.traits` uses it
    "DimensionIndexSequence",
    "InstanceNumber",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "TriggerTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "KVP",
    "ConvolutionKernel",
    "FrameReferenceTime",
    # what its pixels mean
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "RealWorldValueMappingSequence",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    # what PET values mean
    "Units",
    "SUVType",
    "CorrectedImage",
    "DecayCorrection",
    "DecayCorrectionDateTime",
    "ActualFrameDuration",
    "DecayCorrected",
    "AttenuationCorrected",
    "PatientWeight",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "TimezoneOffsetFromUTC",
    "RadiopharmaceuticalInformationSequence",
    0x00090010,
    0x0009100D,  # GE, start of the scan
    # Philips, factors to SUV and to Bq/ml, behind the blocks of others or not
    *(0x70530010 + block for block in range(4)),
    *(0x70531000 + (block << 8) for block in range(4)),
    *(0x70531009 + (block << 8) for block in range(4)),
)
"""What grouping, ordering and scaling images takes."""


_PLAIN: Final = frozenset(("AS", "CS", "DA", "DS", "DT", "FD", "IS", "TM", "UI", "US"))
"""Value representations whose bytes alone tell the value."""

_TEXTS: Final = frozenset(("LO", "PN", "SH"))
_SWITCHES: Final = frozenset(b"\x1b~")
"""What begins another character set, or is another character in some."""


def text(header: Dataset, keyword: str) -> str:
    """A value as text without surrounding space; empty where absent."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """Every number of an element; empty where it is absent, blank or no number."""
    try:
        value: Any = header.get(keyword)
        if value is None or value == "":
            return ()
        values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        return tuple(float(item) for item in values)
    except (TypeError, ValueError):
        return ()


def integer(header: Dataset, keyword: str, default: int = 0) -> int:
    """The first number of an element as an integer."""
    values = numbers(header, keyword)
    return int(values[0]) if values and math.isfinite(values[0]) else default


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty where it is absent or no sequence."""
    value = header.get(keyword)
    return list(value) if isinstance(value, Sequence) else []


def uid_name(uid: str) -> str:
    """What the standard calls a UID; the UID itself where it knows none."""
    return UID(uid, config.IGNORE).name


def image_type(header: Dataset) -> tuple[str, ...]:
    """ImageType as a tuple of upper-case words."""
    value: Any = header.get("ImageType") or ()
    return tuple(str(v).upper() for v in ([value] if isinstance(value, str) else value))


def settle(header: Dataset, *, shared: bool = False) -> bool:
    """Convert every element now, rather than when it is used; tell whether a number was mended.

    A decimal comma becomes a point; an element that cannot be converted is as good as absent.
    pydicom's remarks on odd values, which quote them, are not shown. With `shared`, headers that
    nobody changes have one element for what is equal in them, as nearly all of a series is.
    """
    mended = False
    with quiet():
        for tag, raw in list(header.items()):
            if not isinstance(raw, RawDataElement) and not isinstance(raw.value, Sequence):
                continue  # converted already
            try:
                if shared and isinstance(raw, RawDataElement) and _is_plain(raw):
                    header[tag] = _converted(tag, raw.VR, raw.value, raw[5], raw[6])
                    continue
                mended |= _mend_decimal_comma(header, tag)
                element = header[tag]
                if isinstance(element.value, Sequence):
                    for item in element.value:
                        mended |= settle(item)
            except Exception:  # pydicom raises whatever a malformed value leads to
                del header[tag]
    return mended


def _is_plain(raw: RawDataElement) -> bool:
    """Whether the bytes alone tell the value, and no other element such as a character set."""
    vr: str | None = raw.VR  # None in implicit encoding
    if vr is None and dictionary_has_tag(raw.tag):
        vr = dictionary_VR(raw.tag)
    value = raw.value
    if value is None or (vr == "DS" and b"," in value):
        return False
    # Letters are the same in all character sets of DICOM, as long as none is switched to.
    return vr in _PLAIN or (vr in _TEXTS and value.isascii() and not _SWITCHES & {*value})


@lru_cache(maxsize=4096)
def _converted(
    tag: BaseTag, vr: str | None, value: bytes, implicit: bool, little: bool
) -> DataElement:
    return convert_raw_data_element(RawDataElement(tag, vr, len(value), value, 0, implicit, little))


def _mend_decimal_comma(header: Dataset, tag: BaseTag) -> bool:
    """Write ``1,5`` as ``1.5`` in a decimal string, which some exporters get wrong."""
    raw: Any = header.get_item(tag)
    if not isinstance(raw, RawDataElement) or not raw.value or b"," not in raw.value:
        return False
    vr: str | None = raw.VR  # None in implicit encoding
    if vr is None and dictionary_has_tag(tag):
        vr = dictionary_VR(tag)
    if vr != "DS":
        return False
    header.add_new(tag, "DS", raw.value.decode("ascii").replace(",", ".").split("\\"))
    return True


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks on odd but readable values off the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
