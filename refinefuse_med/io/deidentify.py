"""Headers that tell nobody who the patient is: the basic profile of PS3.15 annex E.

Everything that is written takes what it says of patient and study from the headers of the
sources (`SourceHeader`), so these are what is cleaned, before anything is made of them. The
actions are those of table E.1-1, as the package dicom-anonymizer lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from refinefuse_med.pseudonyms import Pseudonyms

__all__ = ["Deidentifier"]

_DUMMIES: Final = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "PN": "Anonymous"}
"""Values (action D) of what may have to be there; anything else is as good as empty."""

_STANDARD_ROOT: Final = "1.2.840.10008."
_TEXTS: Final = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_DATES: Final = frozenset({"DA", "DT", "TM"})
_ACCESSION_NUMBER: Final = 0x00080050
_IDENTIFIES: Final = 3
"""Fewest characters of a value that is looked for in other texts."""


class Deidentifier:
    """Cleans headers and texts, the same way for everything under one key.

    Parameters
    ----------
    pseudonyms : Pseudonyms
        Map a patient and a UID to the same other one wherever they occur.
    sources : iterable of SourceHeader
        Whose values are to occur nowhere any more.
    """

    def __init__(self, pseudonyms: Pseudonyms, sources: Iterable[SourceHeader]) -> None:
        self._pseudonyms = pseudonyms
        sources = list(sources)
        headers = [header for source in sources for header in source.datasets]
        files = {name for source in sources for name in _names_of(source)}
        self._anything = _any_of(files.union(*map(_taken_away, headers)))
        persons = {v for header in headers for v in _taken_away(header, persons=True)}
        self._person = _any_of(persons)

    def source(self, source: SourceHeader) -> SourceHeader:
        """Clean the headers of a volume, and what its reader remarked; drop where it came from."""
        headers = tuple(self._clean(header) for header in source.datasets)
        warnings = tuple(self.text(warning) for warning in source.warnings)
        return SourceHeader(source.format, "", headers, warnings)

    def text(self, text: str) -> str:
        """Remove every value that the profile takes from the headers, and names of the files."""
        return self._anything.sub("[removed]", text)

    def uid(self, uid: str) -> UID:
        """Give the UID that stands for another; those of the standard stand for themselves."""
        if not uid or uid.startswith(_STANDARD_ROOT):
            return UID(uid)
        return UID(f"2.25.{int(self._pseudonyms.of('uid', uid, length=32), 16)}")

    def _clean(self, header: Dataset) -> Dataset:
        cleaned = Dataset()
        for element in header:
            if element.tag.is_private:
                continue
            kept = self._acted_on(element)
            if kept is not None:
                cleaned.add(kept)
        meta = getattr(header, "file_meta", None)
        if meta is not None and "TransferSyntaxUID" in meta:
            cleaned.file_meta = type(meta)()
            cleaned.file_meta.TransferSyntaxUID = meta.TransferSyntaxUID
        return cleaned

    def _acted_on(self, element: DataElement) -> DataElement | None:
        action = _actions().get(_unmasked(element.tag), "K")
        value: Any = element.value
        if element.keyword == "PatientID":
            value = self._pseudonyms.of("patient", str(value).strip()).upper() if value else None
        elif element.VR == "UI":
            several = element.VM > 1
            value = [self.uid(u) for u in value] if several else self.uid(str(value or ""))
        elif action == "X":
            return None
        elif action in ("Z", "D"):
            dummy = _DUMMIES.get(element.VR) if action == "D" else None
            value = [] if element.VR == "SQ" else dummy
        elif element.VR == "SQ":
            value = [self._clean(item) for item in value]
        elif element.VR in _TEXTS and self._person.search(str(value or "")):
            return None  # the profile does not know this element, but it names the patient
        return DataElement(element.tag, element.VR, value)


def _names_of(source: SourceHeader) -> Iterator[str]:
    path = Path(source.path)
    yield from (name for name in (path.name, path.name.split(".")[0]) if len(name) >= _IDENTIFIES)


def _any_of(values: Iterable[str]) -> re.Pattern[str]:
    """Find any of the values as a word of its own, the longest first; nothing where none is."""
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)", re.IGNORECASE
    )


def _taken_away(header: Dataset, *, persons: bool = False) -> Iterator[str]:
    """Every value that the profile takes away, names in parts; or those of persons alone."""
    for element in header:
        if element.VR == "SQ":
            for item in element.value:
                yield from _taken_away(item, persons=persons)
            continue
        tag = element.tag
        if not tag.is_private and _unmasked(tag) not in _actions():
            continue
        if persons and tag.group != 0x0010 and element.VR != "PN" and tag != _ACCESSION_NUMBER:
            continue
        if element.VR not in _TEXTS | _DATES | {"UI"} or element.is_empty:
            continue
        for value in map(str, element.value if element.VM > 1 else [element.value]):
            parts = re.split(r"[\^=]", value) if element.VR == "PN" else [value]
            for part in map(str.strip, parts):
                if len(part) >= _IDENTIFIES and not part.startswith(_STANDARD_ROOT):
                    yield part


def _unmasked(tag: BaseTag) -> int:
    """Curves and overlays have a range of groups, which the table names by the first."""
    if tag.group & 0xFF00 == 0x5000:
        return 0x50000000
    if tag.group & 0xFF00 == 0x6000:
        return 0x60000000 | tag.element
    return int(tag)


@cache
def _actions() -> dict[int, str]:
    """Action of each element: X remove, Z empty, D dummy, U another UID (table E.1-1).

    Of actions that hang on the type of an element in the object written (such as X/Z/D), dates
    and times take the one that keeps the element, and the rest that which keeps the least.
    """
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    actions: dict[int, str] = {}
    for names, action in (
        ("X_TAGS", "X"),
        ("Z_TAGS X_Z_TAGS", "Z"),
        ("D_TAGS Z_D_TAGS", "D"),
        ("X_D_TAGS X_Z_D_TAGS", "X"),
        ("U_TAGS X_Z_U_STAR_TAGS", "U"),
    ):
        for entry in (entry for name in names.split() for entry in getattr(table, name)):
            tag = BaseTag(entry[0] << 16 | entry[1])
            dated = dictionary_has_tag(tag) and dictionary_VR(tag) in _DATES
            actions[int(tag)] = "D" if dated and names.startswith("X_D") else action
    return actions
