"""DICOM headers: read without pixels, recognised without a preamble, mended where they can be."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import NEEDED, integer, quiet, settle, text

__all__ = ["CUT", "DicomFile", "NotDicomError", "read_dataset", "read_header"]

CUT: Final = "truncated before its pixel data, or without any"
"""Damage of a file of which also parts of its header may lack."""

_FIRST_GROUPS: Final = ((0x02, 0x00), (0x08, 0x00), (0x00, 0x08))
_VRS: Final = frozenset(str(vr).encode() for vr in VR if len(str(vr)) == 2)
_MAX_FIRST_LENGTH: Final = 1024
"""A headless file starts with a group length or a UID, never with a long value."""


_NEEDED: Final = [Tag(name) for name in NEEDED]


class NotDicomError(Exception):
    """A file that is something else than DICOM: no fault of it."""


@dataclass(frozen=True)
class DicomFile:
    """One DICOM file that holds an image.

    Attributes
    ----------
    path : Path
        Where it can be read now.
    name : str
        What to call it to the user: its path below what the user gave.
    header : pydicom.Dataset
        What is needed of its elements, see `read_header`.
    damage : str or None
        What is wrong with the file as a whole, such as truncated pixel data.
    mended : bool
        Whether decimal commas were turned into points.
    pixels_at : int
        Where in the file the element of its pixel data begins, or the file ends; of a deflated
        one, where it would after inflating.
    """

    path: Path
    name: str
    header: Dataset
    damage: str | None = None
    mended: bool = False
    pixels_at: int = 0

    @property
    def base_name(self) -> str:
        """The last part of `name`, which messages may show."""
        return Path(self.name).name


def read_header(path: Path, name: str) -> DicomFile:
    """Read what is needed to group, order and scale images, and nothing more.

    A folder may hold tens of thousands of files; all of their headers would not fit.

    Raises
    ------
    NotDicomError
        The file is no DICOM file.
    InputError
        The file is empty, damaged or cannot be opened.
    """
    try:
        size = path.stat().st_size
        if size == 0:
            raise InputError("empty file (0 bytes)", where=Path(name).name)
        with path.open("rb") as file:
            header = _parse(file, Path(name).name, whole=False)
            end, mended = file.tell(), settle(header, shared=True)
            return DicomFile(path, name, header, _truncation(header, end, size), mended, end)
    except OSError as error:
        reason = error.strerror or "damaged"
        raise InputError(f"cannot be read ({reason})", where=Path(name).name) from error


def read_dataset(file: DicomFile, held: bytes | None = None) -> Dataset:
    """Read the whole file: every element, pixel data included.

    Parameters
    ----------
    file : DicomFile
        What is known of it.
    held : bytes, optional
        The part of the file that is wanted, where it has been read already.

    Raises
    ------
    InputError
        The file cannot be read (any more).
    """
    try:
        with file.path.open("rb") if held is None else BytesIO(held) as stream:
            dataset = _parse(stream, file.base_name)
    except (OSError, NotDicomError) as error:
        raise InputError("cannot be read any more", where=file.base_name) from error
    settle(dataset)
    return dataset


def _parse(file: BinaryIO, base_name: str, *, whole: bool = True) -> FileDataset:
    options: dict[str, Any] = {}
    if not whole:
        options = {"stop_before_pixels": True, "specific_tags": _NEEDED}
    start = file.read(132)
    file.seek(0)
    if start[128:] != b"DICM" and not _looks_headless(start):
        raise NotDicomError
    try:
        with quiet():
            header = dcmread(file, force=True, **options)
            _complete_transfer_syntax(header, shared=not whole)
    except (InvalidDicomError, EOFError) as error:
        raise InputError("truncated within its header", where=base_name) from error
    except OSError:
        raise
    except Exception as error:  # pydicom raises whatever its parser meets in a damaged file
        raise InputError("damaged DICOM header", where=base_name) from error
    return header


def _looks_headless(start: bytes) -> bool:
    """Whether bytes without preamble begin like a DICOM data set: a low group, then a VR."""
    if len(start) < 8 or (start[0], start[1]) not in _FIRST_GROUPS:
        return False
    if start[4:6] in _VRS:
        return True
    order = "big" if start[0] == 0 else "little"
    return 0 < int.from_bytes(start[4:8], order) <= _MAX_FIRST_LENGTH  # type: ignore[arg-type]


def _complete_transfer_syntax(header: FileDataset, *, shared: bool) -> None:
    """Name the encoding that pydicom found, where the file does not (PS3.5 section 10)."""
    if not isinstance(getattr(header, "file_meta", None), FileMetaDataset):
        header.file_meta = FileMetaDataset()
    settle(header.file_meta, shared=shared)
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax:
        if not UID(str(syntax)).is_transfer_syntax:
            raise ValueError("not a transfer syntax")
        return
    implicit, little = header.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    header.file_meta.TransferSyntaxUID = UID(ImplicitVRLittleEndian if implicit else explicit)


def _truncation(header: FileDataset, end: int, size: int) -> str | None:
    """Tell whether the file ends before its pixel data does, as far as its header can tell."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian:
        return None
    if syntax.is_encapsulated:
        return CUT if end >= size else None
    subsampled = text(header, "PhotometricInterpretation") == "YBR_FULL_422"
    values = integer(header, "Rows") * integer(header, "Columns")
    values *= 2 if subsampled else integer(header, "SamplesPerPixel", 1)
    values *= max(1, integer(header, "NumberOfFrames", 1))
    expected = values * integer(header, "BitsAllocated") // 8
    # pydicom stops before the tag, VR and length of the pixel data (PS3.5 section 7.1).
    implicit, _ = header.original_encoding
    held = size - end - (8 if implicit else 12)
    if held >= expected:
        return None
    if held <= 0:
        return CUT
    return f"truncated: {held} of {expected} bytes of pixel data"
