"""What a damaged file still tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from refinefuse_med.io.elements import quiet, text

__all__ = ["CONSTANT", "Remains", "remains_of"]

Remains = Mapping[str, str]
"""Keyword of an element and its value."""

CONSTANT: Final = (
    "SOPClassUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
"""What all images of one series share."""

_WANTED: Final = {Tag(name): name for name in ("SOPInstanceUID", *CONSTANT)}
_META: Final = {
    "MediaStorageSOPInstanceUID": "SOPInstanceUID",
    "MediaStorageSOPClassUID": "SOPClassUID",
}
_ENDS: Final = (0x00200053, 0x00110000, 0x00090000)
"""Before which tag to stop: behind the last that is wanted, or where a parse stumbles less."""


def remains_of(path: Path) -> Remains:
    """Read what can be read of the elements that tell to which series a file belongs.

    An element that was cut is left out: half a UID would be that of another series.
    """
    for end in _ENDS:
        found: dict[str, str] = {}
        try:
            with quiet(), path.open("rb") as stream:
                header = read_partial(stream, _stop_at(end), force=True)
                if len(header) == 0 and len(header.file_meta):
                    del header.file_meta[max(header.file_meta.keys())]  # may have been cut
                for keyword, name in _META.items():
                    _take(found, header.file_meta, keyword, name)
                for tag, name in _WANTED.items():
                    _take(found, header, tag, name)
        except Exception:  # pydicom raises whatever its parser meets in a damaged file
            continue
        return found
    return {}


def _stop_at(end: int) -> Any:
    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        return int(tag) >= end

    return stop


def _take(found: dict[str, str], header: Dataset, tag: BaseTag | str, name: str) -> None:
    if tag not in header:
        return
    raw: Any = header.get_item(tag)
    if isinstance(raw, RawDataElement) and len(raw.value or b"") < raw.length:
        return
    value = text(header, name if not isinstance(tag, str) else tag)
    if value and (not name.endswith("UID") or UID(value).is_valid):
        found[name] = value
