"""The files to send, and what becomes of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    AdvancedBlendingPresentationStateStorage,
    DeformableSpatialRegistrationStorage,
    SpatialRegistrationStorage,
)

from refinefuse_med.errors import InputError

__all__ = ["Delivery", "Letter", "outbox"]

_LAST: Final = (
    SpatialRegistrationStorage,
    DeformableSpatialRegistrationStorage,
    AdvancedBlendingPresentationStateStorage,
)
"""What refers to others is sent after them, in this order."""


@dataclass(frozen=True)
class Letter:
    """One file to send.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its path below what the user gave.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : UID
        As its file meta information says.
    """

    path: Path
    name: str
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID


@dataclass(frozen=True)
class Delivery:
    """What became of one file.

    Attributes
    ----------
    name, sop_instance_uid : str
        Of the file.
    status : {"stored", "warning", "failed"}
        A warning means stored, but with something changed.
    reason : str
        What the archive or the network said; empty if stored.
    attempts : int
        How often it was sent.
    """

    name: str
    sop_instance_uid: str
    status: Literal["stored", "warning", "failed"]
    reason: str = ""
    attempts: int = 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def outbox(path: str | Path) -> list[Letter]:
    """List the DICOM files of a folder and its subfolders, or one file, in the order to send.

    Raises
    ------
    InputError
        Nothing there, or no DICOM file in it.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("no such file or folder", where=path)
    files = _files(path) if path.is_dir() else [path]
    letters = [letter for file in sorted(files) if (letter := _letter(file, path)) is not None]
    if not letters:
        raise InputError("no DICOM file to send", where=path, hint="write one with --format dicom")
    return sorted(letters, key=_turn)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        # What is hidden is not meant: a result that is being written is.
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _letter(file: Path, root: Path) -> Letter | None:
    try:
        meta = dcmread(file, specific_tags=[], stop_before_pixels=True).file_meta
    except InvalidDicomError:
        return None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=file) from error
    name = str(file.relative_to(root)) if root.is_dir() else file.name
    try:
        return Letter(
            file,
            name,
            UID(meta.MediaStorageSOPClassUID),
            UID(meta.MediaStorageSOPInstanceUID),
            UID(meta.TransferSyntaxUID),
        )
    except AttributeError:  # a DICOMDIR, or a file without meta information
        return None


def _turn(letter: Letter) -> int:
    return 1 + _LAST.index(letter.sop_class_uid) if letter.sop_class_uid in _LAST else 0
