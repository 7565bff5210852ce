"""One file: a DICOM image, or the reason why it is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import items, quiet, text, uid_name
from refinefuse_med.io.headers import DicomFile, NotDicomError, read_header
from refinefuse_med.io.remains import Remains, remains_of

__all__ = [
    "APPLE_DOUBLE",
    "DANGLING",
    "DICOM_SUFFIXES",
    "NOT_DICOM",
    "Skipped",
    "is_index",
    "read_image",
]

APPLE_DOUBLE: Final = "._"
"""How the names of macOS's side files begin, which lie beside each file of a copied folder."""

DICOM_SUFFIXES: Final = (".dcm", ".dicom", ".ima")

DANGLING: Final = "dangling link"
"""Said of a link to a file that is not there, as of data that were not fetched."""

NOT_DICOM: Final = "not a DICOM file"
"""Said of a file of another format, which also a slice becomes that is overwritten."""

_KINDS: Final = {
    "Presentation State": "a presentation state",
    "Dose SR": "a dose report",
    " SR": "a structured report",
    "Key Object": "a key object note",
    "Raw Data": "raw data",
    "Segmentation": "a segmentation",
    "RT Structure": "contours of radiotherapy",
    "RT Plan": "a plan of radiotherapy",
    "Encapsulated": "a document",
    "Spatial Registration": "a registration",
    "Waveform": "a waveform",
    "Spectroscopy": "spectroscopy",
}
"""What a part of the name of a SOP class means to a user."""


@dataclass(frozen=True)
class Skipped:
    """A file that is in no series.

    ``damaged`` tells that it may have been meant as a slice of one; ``remains`` what it still tells
    of itself, where it is DICOM. That may name a person, and is never shown.
    """

    name: str
    reason: str
    damaged: bool = False
    remains: Remains | None = field(default=None, repr=False)


def read_image(path: Path, name: str) -> DicomFile | Skipped:
    """Read a header, or say why the file holds no image."""
    if path.name.startswith(APPLE_DOUBLE):
        return Skipped(name, "side file of macOS")
    try:
        file = read_header(path, name)
    except NotDicomError:
        if path.suffix.lower() in DICOM_SUFFIXES:
            return Skipped(name, "not a DICOM file, although named like one", damaged=True)
        return Skipped(name, NOT_DICOM)
    except InputError as error:
        empty = path.exists() and path.stat().st_size == 0
        return Skipped(name, error.what, True, None if empty else remains_of(path))
    header = file.header
    sop_class = text(header, "SOPClassUID") or text(header.file_meta, "MediaStorageSOPClassUID")
    if sop_class == MediaStorageDirectoryStorage:
        return Skipped(name, _index(path))
    if "Rows" not in header or "Columns" not in header:
        remains = remains_of(path)
        kind = uid_name(remains.get("SOPClassUID", ""))
        if not kind or "Image" in kind:
            return Skipped(name, "truncated within its header", True, remains)
        words = next((words for part, words in _KINDS.items() if part in kind), "no image")
        return Skipped(name, f"DICOM without an image: {words} ({kind})")
    return file


def is_index(path: Path) -> bool:
    """Whether a file is a DICOMDIR, which stands for the folder it lies in."""
    found = read_image(path, path.name)
    return isinstance(found, Skipped) and found.reason.startswith(_INDEX)


_INDEX: Final = "DICOMDIR, an index"


def _index(path: Path) -> str:
    """Say what a DICOMDIR is, and how many of the files that it names are not there."""
    try:
        with quiet():
            records = items(dcmread(path), "DirectoryRecordSequence")
            named = [r.ReferencedFileID for r in records if r.get("ReferencedFileID")]
    except Exception:  # pydicom raises whatever its parser meets in a damaged file
        return f"{_INDEX} (damaged)"
    paths = [[part] if isinstance(part, str) else list(part) for part in named]
    lost = sum(not _is_there(path.parent, parts) for parts in paths)
    return (
        f"{_INDEX} ({lost} of the {len(paths)} files that it names are missing)" if lost else _INDEX
    )


def _is_there(folder: Path, parts: list[str]) -> bool:
    """File names of a DICOMDIR are in capitals, those on a disk may not be."""
    names = (parts, [part.lower() for part in parts])
    try:
        return any(folder.joinpath(*p).exists() for p in names)
    except (OSError, ValueError):
        return False
