"""Find the pairs worth fusing under a folder: a plan that can be read before it is run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from refinefuse_med.errors import NoPairError
from refinefuse_med.io import SeriesEntry, inspect_path

__all__ = ["BatchPlan", "Leftover", "Pair", "Scan", "make_plan"]

PARTNERS: Final = {"PT": ("MR", "CT"), "NM": ("MR", "CT"), "CT": ("MR",)}
"""For each functional modality the anatomical ones that it is fused with, best first."""


@dataclass(frozen=True)
class Scan:
    """One side of a pair.

    Attributes
    ----------
    path : Path
        What to hand to `refinefuse_med.io.load_volume`.
    series_uid : str or None
        Which series of it; None for NIfTI.
    modality : str
    shape : tuple of int
    """

    path: Path
    series_uid: str | None
    modality: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Two scans of one patient that are to be fused.

    Attributes
    ----------
    name : str
        Name of the pair's output folder: modalities and a hash of the two series, never
        a text from a header.
    anatomical, functional : Scan
    reason : str
        Why these two.
    """

    name: str
    anatomical: Scan
    functional: Scan
    reason: str


@dataclass(frozen=True)
class Leftover:
    """A series or file that no pair uses, and why."""

    path: str
    modality: str | None
    reason: str


@dataclass(frozen=True)
class BatchPlan:
    """The pairs found under a folder, and everything that was left out."""

    root: Path
    pairs: tuple[Pair, ...]
    left_out: tuple[Leftover, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON holds it; paths as text."""
        plan: dict[str, Any] = asdict(self)
        plan["root"] = str(self.root)
        for pair in plan["pairs"]:
            for role in ("anatomical", "functional"):
                pair[role]["path"] = str(pair[role]["path"])
        return plan


def make_plan(root: Path) -> BatchPlan:
    """Pair the scans under `root`.

    DICOM series are paired within one patient, NIfTI files within one folder. Of several
    anatomical scans the one with the most voxels is taken, MR before CT.

    Raises
    ------
    InputError
        `root` does not exist, cannot be read, or is empty.
    NoPairError
        Nothing under it makes a pair.
    """
    found = inspect_path(root)
    left_out = [Leftover(item.name, None, item.reason) for item in found.skipped]
    people: dict[tuple[str, str], list[SeriesEntry]] = defaultdict(list)
    for entry in found.series:
        if entry.usable:
            people[_person(entry)].append(entry)
        else:
            left_out.append(_leftover(entry, entry.reason))
    pairs: list[Pair] = []
    for entries in people.values():
        made, left = _pair_up(root, entries)
        pairs += made
        left_out += left
    if not pairs:
        raise NoPairError(
            f"no pair among {len(found.series)} series",
            where=root,
            hint="see what is there, and why not usable, with: refinefuse inspect",
        )
    return BatchPlan(root, tuple(sorted(pairs, key=lambda pair: pair.name)), tuple(left_out))


def _person(entry: SeriesEntry) -> tuple[str, str]:
    if entry.series_instance_uid is None:
        return "folder", str(PurePath(entry.path).parent)
    if entry.patient:
        return "patient", entry.patient
    # Without an ID, only what lies in one study is known to be of one person.
    return "study", entry.study_instance_uid or entry.series_instance_uid


def _pair_up(root: Path, entries: Iterable[SeriesEntry]) -> tuple[list[Pair], list[Leftover]]:
    best: dict[str, SeriesEntry] = {}
    left_out: list[Leftover] = []
    for entry in sorted(entries, key=_merit, reverse=True):
        if (chosen := best.setdefault(entry.modality, entry)) is not entry:
            size = " x ".join(map(str, chosen.shape))
            left_out.append(_leftover(entry, f"another {entry.modality} was taken ({size})"))
    pairs = []
    used = set()
    for modality, partners in PARTNERS.items():
        anatomical = next((best[name] for name in partners if name in best), None)
        if modality not in best or anatomical is None:
            continue
        pairs.append(_pair(root, anatomical, best[modality]))
        used |= {modality, anatomical.modality}
    left_out += [
        _leftover(entry, "no scan of the same patient to fuse it with")
        for modality, entry in best.items()
        if modality not in used
    ]
    return pairs, left_out


def _merit(entry: SeriesEntry) -> tuple[int, str, str]:
    voxels = 1
    for size in entry.shape:
        voxels *= size
    return voxels, entry.series_instance_uid or "", entry.path


def _pair(root: Path, anatomical: SeriesEntry, functional: SeriesEntry) -> Pair:
    sides = (anatomical, functional)
    identity = "\n".join(side.series_instance_uid or side.path for side in sides)
    return Pair(
        name="-".join(
            (*(side.modality for side in sides), hashlib.sha256(identity.encode()).hexdigest()[:8])
        ),
        anatomical=_scan(root, anatomical),
        functional=_scan(root, functional),
        reason=f"one {_person(anatomical)[0]}; {functional.modality} onto {anatomical.modality}; "
        f"{_frames(*sides)}",
    )


def _frames(anatomical: SeriesEntry, functional: SeriesEntry) -> str:
    frames = {side.frame_of_reference_uid for side in (anatomical, functional)}
    if None in frames:
        return "frame of reference unknown"
    return "one frame of reference" if len(frames) == 1 else "frames of reference differ"


def _scan(root: Path, entry: SeriesEntry) -> Scan:
    # A zip is unpacked anew for each read; below a folder the series' own folder is enough.
    path = root / entry.path if root.is_dir() else root
    return Scan(path, entry.series_instance_uid, entry.modality, entry.shape)


def _leftover(entry: SeriesEntry, reason: str) -> Leftover:
    return Leftover(entry.path, entry.modality, reason)
