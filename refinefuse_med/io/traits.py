"""What tells the images at one place apart: time, echo, diffusion weight, kind.

One series may hold several volumes (a dynamic PET, the echoes of an MR, magnitude and phase).
The standard names no single element for it, so that those which are known to differ are tried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from refinefuse_med.errors import InputError
from refinefuse_med.grid import ORTHOGONALITY_TOLERANCE
from refinefuse_med.io.geometry import Frame, place_numbers

__all__ = ["TRAITS", "Part", "collide", "index_traits", "parts_of", "traits_of"]

TRAITS: Final[Mapping[str, str]] = {
    "ImageType": "{}",
    "FrameType": "{}",
    "ComplexImageComponent": "{}",
    "StackID": "stack {}",
    "EchoTime": "echo time {} ms",
    "EffectiveEchoTime": "echo time {} ms",
    "EchoNumbers": "echo {}",
    "DiffusionBValue": "b = {} s/mm2",
    "DiffusionGradientOrientation": "diffusion along {}",
    "InversionTime": "inversion time {} ms",
    "InversionTimes": "inversion time {} ms",
    "FlipAngle": "flip angle {}",
    "TriggerTime": "trigger time {} ms",
    "NominalCardiacTriggerDelayTime": "trigger delay {} ms",
    "KVP": "{} kV",
    "ConvolutionKernel": "kernel {}",
    "SliceThickness": "slices of {} mm",
    "EnergyWindow": "energy window {}",
    "RRInterval": "R-R interval {}",
    "TimeSlot": "time slot {}",
    "FrameReferenceTime": "at {} s",
    "FrameReferenceDateTime": "at {}",
    "TemporalPositionIndex": "time point {}",
    "TemporalPositionIdentifier": "time point {}",
    "AcquisitionDate": "acquired on {}",
    "AcquisitionTime": "acquired at {}",
    "FrameAcquisitionDateTime": "acquired at {}",
    "AcquisitionNumber": "acquisition {}",
    "FrameAcquisitionNumber": "acquisition {}",
}
"""Keyword of an element and what to call its value, the most telling first."""

ORDER: Final = (
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameReferenceTime",
    "InstanceNumber",
)
"""By what the images at one place are ordered where nothing tells them apart."""

_READ: Final = frozenset({*TRAITS, *ORDER})
_DEPTH: Final = 3
_PLACE: Final = frozenset({"InStackPositionNumber", "ImagePositionPatient", "SliceVector"})


@dataclass(frozen=True)
class Part:
    """The frames of one volume of a stack, and what it is among the others.

    ``note`` tells how it was told apart, where that was a guess.
    """

    frames: tuple[int, ...]
    label: str = ""
    note: str = ""


def traits_of(header: Dataset, depth: int = _DEPTH) -> dict[str, object]:
    """Everything of a header, or of the functional groups of a frame, that may tell it apart."""
    found: dict[str, object] = {}
    for element in header:
        if isinstance(element.value, DicomSequence):
            if depth > 1 and len(element.value):
                found |= traits_of(element.value[0], depth - 1)
        elif element.keyword in _READ and element.value not in (None, ""):
            found[element.keyword] = _plain(element.value)
    return found


def index_traits(header: Dataset, groups: Dataset) -> dict[str, object]:
    """The indices of a frame along the dimensions that its object declares (C.7.6.17)."""
    content = groups.get("FrameContentSequence")
    values = content[0].get("DimensionIndexValues") if content else None
    pointers = header.get("DimensionIndexSequence")
    if values is None or not pointers:
        return {}
    values = values if isinstance(values, Sequence) else [values]
    names = [keyword_for_tag(item.get("DimensionIndexPointer", 0)) for item in pointers]
    return {
        f"index of {name or 'a private element'}": int(value)
        for name, value in zip(names, values, strict=False)
        if name not in _PLACE
    }


def collide(frames: Sequence[Frame]) -> bool:
    """Whether frames of one orientation share a place, so that their traits are needed."""
    stacks = ([frames[n] for n in members] for members in _by_orientation(frames))
    return any(len(set(place_numbers(stack))) < len(stack) for stack in stacks)


def parts_of(frames: Sequence[Frame]) -> tuple[Part, ...]:
    """Divide the frames of a stack into volumes, each with one image at each of its places.

    Where every frame has a place of its own there is one volume, and nothing is looked at.

    Raises
    ------
    InputError
        Several images at one place, and nothing tells which belong together.
    """
    stacks = _by_orientation(frames)
    if len(stacks) > 1:
        return tuple(
            Part(
                tuple(members[index] for index in part.frames),
                ", ".join(filter(None, (f"orientation {number}", part.label))),
                part.note,
            )
            for number, members in enumerate(stacks, 1)
            for part in parts_of([frames[member] for member in members])
        )
    places = place_numbers(frames)
    count = len(set(places))
    if count == len(frames):
        return (Part(tuple(range(len(frames)))),)
    groups, names = _by_traits(frames, places)
    note = ""
    if _is_balanced(groups, places) and not _are_single(groups, places):
        groups = _by_order(frames, groups, places)
        note = "the volumes of the series were told apart by the order of their images alone"
    if not _are_single(groups, places):
        groups, names = _by_one_trait(frames, places)
    if not groups:
        raise InputError(
            f"{len(frames)} images at {count} positions, and nothing tells which belong together",
            hint="export one image for each position",
        )
    order = sorted(groups, key=lambda key: _sortable(key))
    return tuple(
        Part(tuple(groups[key]), _label(frames[groups[key][0]], names, number), note)
        for number, key in enumerate(order, 1)
    )


def _by_orientation(frames: Sequence[Frame]) -> list[list[int]]:
    """The frames of each orientation, as the three of a survey scan in one enhanced object."""
    stacks: list[list[int]] = []
    for number, frame in enumerate(frames):
        for stack in stacks:
            apart = np.abs(frames[stack[0]].orientation - frame.orientation).max()
            if apart <= ORTHOGONALITY_TOLERANCE:
                stack.append(number)
                break
        else:
            stacks.append([number])
    return stacks


_Groups = dict[Hashable, list[int]]


def _by_traits(frames: Sequence[Frame], places: Sequence[int]) -> tuple[_Groups, list[str]]:
    """Divide by one trait after the other, as long as each part still has all places alike."""
    groups: _Groups = {(): list(range(len(frames)))}
    names: list[str] = []
    for name in _names(frames):
        finer: _Groups = defaultdict(list)
        for key, members in groups.items():
            for member in members:
                finer[(*key, frames[member].traits.get(name))].append(member)  # type: ignore[misc]
        if len(finer) > len(groups) and _is_balanced(finer, places):
            groups = dict(finer)
            names.append(name)
        if _are_single(groups, places):
            break
    return groups, names


def _by_one_trait(frames: Sequence[Frame], places: Sequence[int]) -> tuple[_Groups, list[str]]:
    """Divide by the first trait that gives each part one image a place, be some lacking."""
    for name in _names(frames):
        groups: _Groups = defaultdict(list)
        for member, frame in enumerate(frames):
            groups[(frame.traits.get(name),)].append(member)
        if _are_single(groups, places) and min(map(len, groups.values())) > 1:
            return dict(groups), [name]
    return {}, []


def _by_order(frames: Sequence[Frame], groups: _Groups, places: Sequence[int]) -> _Groups:
    """Divide further by the rank of each image among those at its place."""
    finer: _Groups = defaultdict(list)
    for key, members in groups.items():
        ranks: Counter[int] = Counter()
        for member in sorted(members, key=lambda m: _moment(frames[m])):
            finer[(*key, ranks[places[member]])].append(member)  # type: ignore[misc]
            ranks[places[member]] += 1
    return dict(finer)


def _names(frames: Sequence[Frame]) -> list[str]:
    """The traits that any frame has, those of `TRAITS` first and in its order."""
    found = {name for frame in frames for name in frame.traits}
    declared = sorted(name for name in found if name.startswith("index of"))
    return [*(name for name in TRAITS if name in found), *declared]


def _is_balanced(groups: _Groups, places: Sequence[int]) -> bool:
    """Whether each group has the same number of images at every place of the stack."""
    everywhere = set(places)
    for members in groups.values():
        counts = Counter(places[member] for member in members)
        if set(counts) != everywhere or len(set(counts.values())) > 1:
            return False
    return True


def _are_single(groups: _Groups, places: Sequence[int]) -> bool:
    return all(len({places[m] for m in members}) == len(members) for members in groups.values())


def _moment(frame: Frame) -> tuple[Any, ...]:
    return tuple(_sortable((frame.traits.get(name),)) for name in ORDER)


def _sortable(key: Any) -> tuple[Any, ...]:
    """A key that compares with others although types differ; numbers by their size."""
    return tuple(
        (1, value, "") if isinstance(value, (int, float)) else (0, 0, str(value or ""))
        for value in key
    )


def _label(frame: Frame, names: Sequence[str], number: int) -> str:
    words = []
    for name in names:
        value = frame.traits.get(name)
        if value is None:
            continue
        if name == "FrameReferenceTime" and isinstance(value, float):
            value /= 1000  # the standard has milliseconds
        form = TRAITS.get(name, f"{name.removeprefix('index of ')} {{}}")
        shown = "/".join(map(str, value)) if isinstance(value, tuple) else value
        words.append(form.format(f"{shown:g}" if isinstance(shown, float) else shown))
    return ", ".join(words) or f"image {number} at each place"


def _plain(value: Any) -> object:
    """A value that can be compared and hashed: numbers as float, several as a tuple."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) or hasattr(value, "__iter__"):
        return tuple(_plain(item) for item in value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
