"""Whose a series is, when it was made, and what kind of image: to pair series by.

Everything here may name a person. It is for decisions alone, and never shown.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydicom.dataset import Dataset

from refinefuse_med.io.discovery import Stack
from refinefuse_med.io.elements import image_type, text

__all__ = ["Identity", "identity_of", "identity_of_file"]


@dataclass(frozen=True)
class Identity:
    """What tells series apart that look alike.

    Attributes
    ----------
    patient_id, patient_name, birth_date : str
        As in the header, the name without letter case and empty components; empty where absent.
    study_uid : str
        StudyInstanceUID.
    study_date : datetime.date or None
        Of the acquisition where that is known, else of the series or the study.
    image_type : tuple of str
        Words of ImageType.
    corrections : tuple of str
        Words of CorrectedImage, such as ``ATTN``.
    acquisition : str
        MRAcquisitionType: ``2D``, ``3D`` or empty.
    body_part : str
        BodyPartExamined.
    content : str
        Digest of the SOPInstanceUIDs; of a NIfTI file, of its size and time of change.
    """

    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    study_uid: str = ""
    study_date: date | None = None
    image_type: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    acquisition: str = ""
    body_part: str = ""
    content: str = ""


def identity_of(stack: Stack) -> Identity:
    """The identity of a DICOM stack, from its first header."""
    header = stack.header
    corrections = header.get("CorrectedImage") or ()
    uids = sorted({text(file.header, "SOPInstanceUID") or file.name for file in stack.files})
    return Identity(
        patient_id=text(header, "PatientID"),
        patient_name=_plain_name(text(header, "PatientName")),
        birth_date=text(header, "PatientBirthDate"),
        study_uid=text(header, "StudyInstanceUID"),
        study_date=_date(header),
        image_type=image_type(header),
        corrections=(corrections,)
        if isinstance(corrections, str)
        else tuple(str(word).upper() for word in corrections),
        acquisition=text(header, "MRAcquisitionType").upper(),
        body_part=text(header, "BodyPartExamined").upper(),
        content=_digest(uids),
    )


def identity_of_file(path: Path) -> Identity:
    """The identity of a NIfTI file, which names nobody: whether it is still the same file."""
    status = os.stat(path)
    return Identity(content=_digest([path.name, str(status.st_size), str(status.st_mtime_ns)]))


def _plain_name(name: str) -> str:
    return " ".join(name.replace("^", " ").replace("=", " ").casefold().split())


def _date(header: Dataset) -> date | None:
    for keyword in ("AcquisitionDate", "SeriesDate", "StudyDate"):
        digits = text(header, keyword)[:10].replace("-", "").replace(".", "")
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
        except ValueError:
            continue
    return None


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
