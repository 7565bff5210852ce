"""Find the image series of a folder: every file is read, grouped or skipped with its reason."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import image_type, integer, numbers, text
from refinefuse_med.io.header_pool import read_images
from refinefuse_med.io.headers import DicomFile
from refinefuse_med.io.images import APPLE_DOUBLE, DANGLING, Skipped, read_image
from refinefuse_med.io.strays import verdicts
from refinefuse_med.progress import SILENT, Monitor

__all__ = [
    "Discovery",
    "FoundFile",
    "Skipped",
    "Stack",
    "discover",
    "gathered",
    "read_image",
    "stacks_of",
    "walk",
]

ORIENTATION_TOLERANCE: Final = 1e-3
"""Largest difference of direction cosines within one stack."""

FoundFile = tuple[Path, str, str | None]
"""Path, its name below what the user gave, and why to skip it."""

SPACING_TOLERANCE_MM: Final = 1e-3
"""Largest difference of voxel sizes within one stack."""

SURVEY_PLANES: Final = 3
"""Orientations in one series that make it a survey, as of three planes."""

NIFTI_SUFFIXES: Final = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Stack:
    """Files of one series that have one orientation, size and kind.

    Attributes
    ----------
    series_uid : str
        SeriesInstanceUID; empty where the files have none.
    files : tuple of DicomFile
        In the order they were found.
    damaged : tuple of str
        Base names of unreadable files among them, which may be slices of this stack.
    notes : tuple of str
        What to say of unreadable files that are not.
    planes : int
        How many orientations its series has.
    """

    series_uid: str
    files: tuple[DicomFile, ...]
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    planes: int = 1

    @property
    def is_survey(self) -> bool:
        """Whether its series looks in all directions, as those do that a scan is planned on."""
        return self.planes >= SURVEY_PLANES

    @property
    def header(self) -> Dataset:
        """The header of the first file."""
        return self.files[0].header

    @property
    def modality(self) -> str:
        """DICOM code; OT where the files know none, NM for the retired code of SPECT."""
        code = text(self.header, "Modality").upper() or "OT"
        return "NM" if code == "ST" else code

    @property
    def patient(self) -> str:
        """What tells patients apart; never shown."""
        return text(self.header, "PatientID") or text(self.header, "PatientName")


@dataclass(frozen=True)
class Discovery:
    """What a folder holds."""

    stacks: tuple[Stack, ...] = ()
    nifti: tuple[tuple[Path, str], ...] = ()
    skipped: tuple[Skipped, ...] = field(default=())


def discover(folder: Path, monitor: Monitor = SILENT) -> Discovery:
    """Read the header of every file below a folder.

    Raises
    ------
    InputError
        The folder holds no file at all.
    """
    found = gathered(walk(folder), monitor)
    if found == Discovery():
        raise InputError("the folder is empty", where=folder)
    return found


def gathered(files: Iterable[FoundFile], monitor: Monitor = SILENT) -> Discovery:
    """Read the header of each file, and group what are images."""
    nifti: list[tuple[Path, str]] = []
    skipped: list[Skipped] = []
    others: list[tuple[Path, str]] = []
    for path, name, reason in files:
        if reason is not None:
            skipped.append(Skipped(name, reason))
        elif name.lower().endswith(NIFTI_SUFFIXES) and not path.name.startswith(APPLE_DOUBLE):
            nifti.append((path, name))
        else:
            others.append((path, name))
    found: list[DicomFile] = []
    for file in read_images(others, monitor):
        (skipped if isinstance(file, Skipped) else found).append(file)  # type: ignore[arg-type]
    return Discovery(stacks_of(found, skipped), tuple(nifti), tuple(skipped))


def stacks_of(files: Iterable[DicomFile], skipped: Iterable[Skipped] = ()) -> tuple[Stack, ...]:
    """Group files into stacks by series, kind, size, spacing and orientation."""
    groups: dict[tuple[object, ...], list[list[DicomFile]]] = defaultdict(list)
    for file in files:
        alike = groups[_key(file)]
        for group in alike:
            if _same_plane(group[0], file):
                group.append(file)
                break
        else:
            alike.append([file])
    found = [group for alike in groups.values() for group in alike]
    planes: dict[str, set[tuple[float, ...]]] = defaultdict(set)
    for group in found:
        planes[text(group[0].header, "SeriesInstanceUID")].add(_orientation(group[0]))
    return tuple(
        Stack(uid, tuple(group), beside.lost, beside.notes, len(planes[uid]) if uid else 1)
        for group, beside in zip(found, verdicts(found, skipped), strict=True)
        for uid in [text(group[0].header, "SeriesInstanceUID")]
    )


def _orientation(file: DicomFile) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in numbers(file.header, "ImageOrientationPatient"))


def _key(file: DicomFile) -> tuple[object, ...]:
    header = file.header
    return (
        text(header, "SeriesInstanceUID"),
        text(header, "SOPClassUID"),
        text(header, "Modality"),
        _whole_of(file),
        text(header, "PhotometricInterpretation"),
        integer(header, "Rows"),
        integer(header, "Columns"),
        "LOCALIZER" in image_type(header),
    )


def _whole_of(file: DicomFile) -> str:
    """What a file of many frames is a volume of: itself, or the object that it is a part of."""
    if concatenation := text(file.header, "ConcatenationUID"):
        return concatenation
    return file.name if integer(file.header, "NumberOfFrames", 1) > 1 else ""


def _same_plane(one: DicomFile, other: DicomFile) -> bool:
    """Whether orientation and voxel size are alike; rounding would part what lies at its edge."""
    for name, tolerance in (
        ("ImageOrientationPatient", ORIENTATION_TOLERANCE),
        ("PixelSpacing", SPACING_TOLERANCE_MM),
    ):
        first, second = numbers(one.header, name), numbers(other.header, name)
        if len(first) != len(second):
            return False
        if any(abs(a - b) > tolerance for a, b in zip(first, second, strict=True)):
            return False
    return True


def walk(folder: Path, exclude: Container[Path] = ()) -> Iterator[FoundFile]:
    """Yield every file below a folder in a fixed order, those of one folder together.

    Links to folders are not followed; dangling links and folders that cannot be read are
    reported. Folders in `exclude` are left out without a word.
    """
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if Path(parent, name) not in exclude)
        for entry in sorted(folders):
            path = Path(parent, entry)
            if path.is_symlink():
                yield path, path.relative_to(folder).as_posix(), "link to a folder, not followed"
        for entry in sorted(files):
            path = Path(parent, entry)
            reason = None
            if not path.exists():
                reason = DANGLING
            elif not path.is_file():
                reason = "not a regular file"
            yield path, path.relative_to(folder).as_posix(), reason
    for path in unreadable:
        if path == folder:
            raise InputError("no permission to read it", where=folder)
        yield path, path.relative_to(folder).as_posix(), "no permission to read the folder"
