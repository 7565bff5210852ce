"""Damaged files: to which series they may belong, and which of those are whole without them.

A half-written file may be the last slice of a scan, whose loss nothing else would show. It costs
the scan its reading, unless what remains of the file, or its name, says that it belongs elsewhere,
or the scan holds as many images as its own headers say that it has.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from refinefuse_med.io.elements import integer, text
from refinefuse_med.io.headers import CUT, DicomFile
from refinefuse_med.io.images import DANGLING, DICOM_SUFFIXES, NOT_DICOM, Skipped
from refinefuse_med.io.remains import CONSTANT, Remains

__all__ = ["Verdict", "verdicts"]

UNFINISHED: Final = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp")
"""What programs add to the name of a file that they have not finished."""

_NUMBERED: Final = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<behind>\D*)", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What damaged files mean to a group of files of one series.

    Attributes
    ----------
    lost : tuple of str
        Base names of those that may be slices of it, and nothing says that it is whole.
    notes : tuple of str
        What to say of those that cost it nothing.
    """

    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Damaged:
    path: PurePosixPath
    remains: Remains
    is_dicom: bool
    is_there: bool = True


def verdicts(
    groups: Sequence[Sequence[DicomFile]], skipped: Iterable[Skipped]
) -> tuple[Verdict, ...]:
    """Judge what the damaged files among some mean to each group.

    Parameters
    ----------
    groups : sequence of sequence of DicomFile
        The images that were found, of one series and kind each.
    skipped : iterable of Skipped
        The files that are in no group.
    """
    damaged = list(_damaged(groups, skipped))
    if not damaged:
        return (Verdict(),) * len(groups)
    series = [_Group(group) for group in groups]
    intact = {
        text(file.header, "SOPInstanceUID") for group in groups for file in group if not file.damage
    }
    suspects = [file for file in damaged if file.remains.get("SOPInstanceUID") not in intact]
    named = _by_name(suspects, series)
    return tuple(_verdict(group, suspects, named) for group in series)


def _by_name(
    suspects: Sequence[_Damaged], series: Sequence[_Group]
) -> dict[PurePosixPath, list[_Group]]:
    """The series that a file may be of by the number in its name, where that tells.

    It does where files are numbered series by series: the numbers of each follow each other.
    """
    keys = {file.path: _counted(file.path) for file in suspects}
    gone: dict[_Key, set[int]] = defaultdict(set)
    for counted in filter(None, keys.values()):
        gone[counted[0]].add(counted[1])
    told = {key for key in gone if all(group.is_run(key, gone[key]) for group in series)}
    return {
        path: [group for group in series if group.counts(*counted)]
        for path, counted in keys.items()
        if counted and counted[0] in told
    }


def _verdict(
    group: _Group, suspects: Sequence[_Damaged], named: Mapping[PurePosixPath, list[_Group]]
) -> Verdict:
    if len(group.files) == 1:  # it is no volume, or one by itself
        return Verdict()
    lost: list[str] = []
    others = spare = 0
    for file in filter(group.may_hold, suspects):
        owners = named.get(file.path)
        if "SeriesInstanceUID" in file.remains:
            lost.append(file.path.name)
        elif owners and group not in owners:
            others += 1
        elif group.is_whole:
            spare += 1
        else:
            lost.append(file.path.name)
    # Without the names of the files, which may be those of patients: an inspection lists them.
    notes = []
    if others:
        notes.append(f"{_files(others)} beside it damaged: of another series, by name")
    if spare:
        notes.append(
            f"{_files(spare)} beside it damaged: the series is whole without, by the "
            f"{len(group.files)} images that its headers count"
        )
    return Verdict(tuple(lost), tuple(notes))


def _files(count: int) -> str:
    return f"{count} file{'s' if count > 1 else ''}"


def _damaged(
    groups: Sequence[Sequence[DicomFile]], skipped: Iterable[Skipped]
) -> Iterable[_Damaged]:
    for item in skipped:
        if item.damaged or item.reason in (NOT_DICOM, DANGLING):
            yield _Damaged(
                PurePosixPath(item.name),
                item.remains or {},
                is_dicom=item.remains is not None,
                is_there=item.reason != DANGLING,
            )
    for group in groups:
        for file in group:
            if file.damage == CUT:  # perhaps cut before what would have put it into its group
                names = ("SOPInstanceUID", *CONSTANT)
                remains = {name: text(file.header, name) for name in names}
                known = {name: value for name, value in remains.items() if value}
                yield _Damaged(PurePosixPath(file.name), known, is_dicom=True)


class _Group:
    """The files of one series and kind, and how they are named."""

    def __init__(self, files: Sequence[DicomFile]) -> None:
        self.files = files
        self._names = {PurePosixPath(file.name) for file in files}
        self._folders = {name.parent for name in self._names}
        # Where each image has a folder of its own, so has the damaged one.
        apart = len(self._folders) == len(self._names) > 1
        self._folder_forms = {_form(str(f)) for f in self._folders} if apart else set()
        self._suffixes = {name.suffix.lower() for name in self._names}
        self._forms = {_form(name.name) for name in self._names}
        self._numbers: dict[_Key, set[int]] = defaultdict(set)
        for counted in filter(None, map(_counted, self._names)):
            self._numbers[counted[0]].add(counted[1])

    def may_hold(self, file: _Damaged) -> bool:
        """Whether a file of the same folder is made or named as those of the group are."""
        folder = file.path.parent
        if file.path in self._names or not (
            folder in self._folders or _form(str(folder)) in self._folder_forms
        ):
            return False
        header = self.files[0].header
        if any(file.remains.get(name) not in (None, text(header, name)) for name in CONSTANT):
            return False
        if file.is_dicom:
            return True
        name = _finished(file.path.name)
        suffix = PurePosixPath(name).suffix.lower()
        if file.is_there and suffix in DICOM_SUFFIXES:
            return suffix in self._suffixes
        return any(map(str.isdigit, name)) and _form(name) in self._forms

    def counts(self, key: _Key, number: int) -> bool:
        """Whether a number lies between those of the names of the group, or next to them."""
        own = self._numbers.get(key)
        return own is not None and min(own) - 1 <= number <= max(own) + 1

    def is_run(self, key: _Key, gone: set[int]) -> bool:
        """Whether the numbers of its names follow each other, but for some that are gone."""
        own = self._numbers.get(key)
        if own is None:
            return True
        low, high = min(own), max(own)
        return len(own | {n for n in gone if low <= n <= high}) == high - low + 1

    @cached_property
    def is_whole(self) -> bool:
        """Whether it has as many images as its headers say."""
        return _is_whole(self.files)


_Key = tuple[PurePosixPath, str, str]


def _counted(path: PurePosixPath) -> tuple[_Key, int] | None:
    """The last number in the name that a file was to have, and what stands around it."""
    match = _NUMBERED.fullmatch(_finished(path.name))
    return match and ((path.parent, match["before"], match["behind"]), int(match["number"]))


def _form(name: str) -> str:
    """A name without its numbers."""
    return re.sub(r"\d+", "0", name)


def _finished(name: str) -> str:
    """The name that an unfinished file was to have."""
    for ending in UNFINISHED:
        if name.lower().endswith(ending):
            return name[: -len(ending)] or name
    return name


def _is_whole(group: Sequence[DicomFile]) -> bool:
    """Whether a group has as many images as its headers say, with numbers that follow each other.

    Counts of the series and of the acquisition (PS3.3 section C.7.3.1 and C.7.6.1), and those of a
    PET (C.8.9.4) or a concatenation (C.7.6.16.2.2.4). A count that is larger says that some lack.
    """
    headers = [file.header for file in group]
    count = len({text(file.header, "SOPInstanceUID") or file.name for file in group})
    of_one = len({text(header, "AcquisitionNumber") for header in headers}) == 1
    said: set[int] = set()
    for header in headers:
        said |= {
            integer(header, "NumberOfSeriesRelatedInstances"),
            integer(header, "InConcatenationTotalNumber"),
            integer(header, "ImagesInAcquisition") if of_one else 0,
            integer(header, "NumberOfSlices") * max(1, integer(header, "NumberOfTimeSlices")),
        }
    is_divided = "ConcatenationUID" in headers[0]
    counter = "InConcatenationNumber" if is_divided else "InstanceNumber"
    numbers = {integer(header, counter) for header in headers}
    follow = len(numbers) == count and max(numbers) - min(numbers) == count - 1
    return count in said and max(said) == count and follow
