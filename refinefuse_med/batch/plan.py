"""Find the pairs worth fusing under a folder: a plan that can be read before it is run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from refinefuse_med.batch.estimate import Estimate, estimate_of
from refinefuse_med.batch.pairing import DEFAULT_MAX_DAYS, Match, match_scans
from refinefuse_med.batch.pairs_file import read_pairs
from refinefuse_med.batch.persons import Person, persons_of
from refinefuse_med.batch.scan import ScanCache, scan_tree
from refinefuse_med.batch.score import Score, affinity_of, score_of
from refinefuse_med.errors import NoPairError
from refinefuse_med.io import Inspection, SeriesEntry
from refinefuse_med.pseudonyms import Pseudonyms

__all__ = ["BatchPlan", "Leftover", "Pair", "Scan", "make_plan"]


@dataclass(frozen=True)
class Scan:
    """One side of a pair.

    Attributes
    ----------
    path : Path
        What to hand to `refinefuse_med.io.load_volume`.
    series_uid : str or None
        Which series of it; None for NIfTI.
    files : tuple of str
        The series' files, named from `path`, lest all that shares their folder be read for it.
        Empty: whatever is there.
    modality : str
    shape : tuple of int
    score : Score
        What it is worth by itself.
    content : str
        Digest of what it holds: changes when an image is added or taken away.
    patient_id, description : str
        As in the header. Shown only where the user asked for it.
    allow_gaps : bool
        Interpolate slices that it lacks.
    beside : tuple of str
        Warnings about damaged files that are none of its own.
    """

    path: Path
    series_uid: str | None
    modality: str
    shape: tuple[int, ...]
    score: Score = field(default=Score(()))
    content: str = ""
    patient_id: str = ""
    description: str = ""
    allow_gaps: bool = False
    files: tuple[str, ...] = field(default=(), repr=False)
    beside: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The scan as the plan's JSON holds it, without what names the patient."""
        return {
            "path": str(self.path),
            "series_instance_uid": self.series_uid,
            "modality": self.modality,
            "shape": list(self.shape),
            "score": self.score.total,
            "points": dict(self.score.points),
        }


@dataclass(frozen=True)
class Pair:
    """Two scans of one person that are to be fused.

    Attributes
    ----------
    name : str
        Name of the pair's output folder: modalities and a keyed hash of the two series,
        never a text from a header.
    person : str
        Pseudonym of the person; the same for all pairs of one.
    anatomical, functional : Scan
    reason : str
        Why these two.
    days_apart : int or None
        None where a date is not known.
    estimate : Estimate
        What fusing them is expected to take.
    """

    name: str
    person: str
    anatomical: Scan
    functional: Scan
    reason: str
    days_apart: int | None = None
    estimate: Estimate = field(default=Estimate(0, 0))

    def to_dict(self) -> dict[str, Any]:
        """The pair as the plan's JSON holds it."""
        return {
            "name": self.name,
            "person": self.person,
            "anatomical": self.anatomical.to_dict(),
            "functional": self.functional.to_dict(),
            "reason": self.reason,
            "days_apart": self.days_apart,
            "estimate": asdict(self.estimate),
        }


@dataclass(frozen=True)
class Leftover:
    """A series or file that no pair uses, and why.

    Attributes
    ----------
    path : str
    modality : str or None
    reason : str
        It names no file.
    where : str
        Which file of the series it is about, where that is one.
    """

    path: str
    modality: str | None
    reason: str
    where: str = ""


@dataclass(frozen=True)
class BatchPlan:
    """The pairs found under a folder, and everything that was left out."""

    root: Path
    pairs: tuple[Pair, ...]
    left_out: tuple[Leftover, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON holds it; it names paths, but no patient."""
        return {
            "schema": 1,
            "root": str(self.root),
            "pairs": [pair.to_dict() for pair in self.pairs],
            "left_out": [asdict(item) for item in self.left_out],
        }


def make_plan(
    root: Path,
    *,
    pairs_file: Path | None = None,
    max_days: int | None = DEFAULT_MAX_DAYS,
    pseudonyms: Pseudonyms | None = None,
    exclude: Iterable[Path] = (),
    is_arriving: Callable[[SeriesEntry], bool] = lambda _: False,
    cache: ScanCache | None = None,
    allow_gaps: bool = False,
) -> BatchPlan:
    """Pair the scans under `root`.

    Parameters
    ----------
    root : Path
        A folder of DICOM or NIfTI files, a BIDS data set, or a zip.
    pairs_file : Path, optional
        Pairs to take instead of choosing them (see `read_pairs`).
    max_days : int, optional
        Largest number of days between two scans that are paired; None: any.
    pseudonyms : Pseudonyms, optional
        How output folders are named; with the user's own key by default.
    exclude : iterable of Path
        Folders below `root` to leave out, such as the results of an earlier batch.
    is_arriving : callable
        Whether more of a series is to come: nobody is paired one of whose series is such.
    cache : ScanCache, optional
        What is known of folders that were read before.
    allow_gaps : bool
        Take series that lack slices, which are then interpolated.

    Raises
    ------
    InputError
        `root` does not exist, cannot be read, or is empty.
    UsageError
        A line of `pairs_file` names no scan under `root`.
    NoPairError
        Nothing under it makes a pair.
    """
    pseudonyms = pseudonyms or Pseudonyms.from_file()
    found = scan_tree(root, exclude, cache, allow_gaps=allow_gaps)
    left_out = [Leftover(item.name, None, item.reason) for item in found.skipped]
    left_out += [_unusable(entry) for entry in found.series if not entry.usable]
    maker = _PairMaker(root, pseudonyms, allow_gaps, _names(found))
    late = {_whose(entry) for entry in found.series if is_arriving(entry)}
    usable = [entry for entry in found.series if entry.usable and _whose(entry) not in late]
    if pairs_file is not None:
        pairs, rest = maker.named(pairs_file, usable)
    else:
        pairs, rest = maker.chosen(usable, max_days)
    rest += [(e, "still arriving") for e in found.series if e.usable and _whose(e) in late]
    if not pairs:
        raise _no_pair(root, found, rest)
    left_out += [_leftover(entry, reason) for entry, reason in rest]
    pairs = sorted({pair.name: pair for pair in pairs}.values(), key=lambda pair: pair.name)
    return BatchPlan(root, tuple(pairs), tuple(sorted(left_out, key=lambda item: item.path)))


_Rest = list[tuple[SeriesEntry, str]]
_Names = dict[str | None, list[str]]


def _names(found: Inspection) -> _Names:
    """The files of each series: of all its parts, since a reader tells what it leaves out."""
    names: _Names = defaultdict(list)
    for entry in found.series:
        names[entry.series_instance_uid] += entry.names
    return names


@dataclass(frozen=True)
class _PairMaker:
    root: Path
    pseudonyms: Pseudonyms
    allow_gaps: bool
    names: _Names

    def chosen(
        self, entries: Iterable[SeriesEntry], max_days: int | None
    ) -> tuple[list[Pair], _Rest]:
        persons, rest = persons_of(entries)
        pairs: list[Pair] = []
        for person in persons:
            matches, unmatched = match_scans(person, max_days)
            pairs += [self._pair(match, person) for match in matches]
            rest += unmatched
        return pairs, rest

    def named(self, path: Path, entries: list[SeriesEntry]) -> tuple[list[Pair], _Rest]:
        pairs: list[Pair] = []
        used: set[int] = set()
        for number, anatomical, functional in read_pairs(path, self.root, entries):
            affinity = affinity_of(anatomical, functional, same_study=False, days_apart=0)
            match = Match(anatomical, functional, affinity, None)
            person = Person(("line", str(number)), f"line {number} of the pairs file")
            pairs.append(self._pair(match, person))
            used |= {id(anatomical), id(functional)}
        rest = [(e, "not named in the pairs file") for e in entries if id(e) not in used]
        return pairs, rest

    def _pair(self, match: Match, person: Person) -> Pair:
        anatomical, functional = match.anatomical, match.functional
        identity = [side.series_instance_uid or side.path for side in (anatomical, functional)]
        reasons = [f"one {person.kind}" if not person.kind.startswith("line") else person.kind]
        reasons.append(f"{functional.modality} onto {anatomical.modality}")
        reasons.append(_frames(anatomical, functional))
        reasons += [name for name, _ in match.affinity.points if "frame" not in name]
        return Pair(
            name="-".join(
                (anatomical.modality, functional.modality, self.pseudonyms.of("pair", *identity))
            ),
            person=self.pseudonyms.of("person", *person.identity),
            anatomical=self._scan(anatomical),
            functional=self._scan(functional),
            reason="; ".join(reasons),
            days_apart=match.days_apart,
            estimate=estimate_of(anatomical, functional),
        )

    def _scan(self, entry: SeriesEntry) -> Scan:
        # Of a zip each read unpacks its own files.
        is_folder = self.root.is_dir()
        place = PurePosixPath(entry.path if is_folder else ".")
        names = list(map(PurePosixPath, self.names[entry.series_instance_uid]))
        if not entry.names:  # NIfTI
            names = [] if is_folder else [PurePosixPath(entry.path)]
        return Scan(
            path=self.root / entry.path if is_folder else self.root,
            series_uid=entry.series_instance_uid,
            modality=entry.modality,
            shape=entry.shape,
            score=score_of(entry),
            content=entry.identity.content,
            patient_id=entry.identity.patient_id,
            description=entry.description,
            allow_gaps=self.allow_gaps,
            files=tuple(str(n.relative_to(place)) for n in names if n.is_relative_to(place)),
            beside=entry.beside,
        )


def _whose(entry: SeriesEntry) -> str:
    """Who may have to be waited for; more people than one where that cannot be told."""
    return entry.identity.patient_id or entry.identity.study_uid or str(Path(entry.path).parent)


def _no_pair(root: Path, found: Inspection, rest: _Rest) -> NoPairError:
    usable = sum(entry.usable for entry in found.series)
    reasons = sorted({reason for _, reason in rest})
    return NoPairError(
        f"no pair among {len(found.series)} series, {usable} of them usable"
        + (f" ({reasons[0]})" if len(reasons) == 1 else ""),
        where=root,
        hint="see what is there, and why not usable, with: refinefuse inspect",
    )


def _frames(anatomical: SeriesEntry, functional: SeriesEntry) -> str:
    frames = {side.frame_of_reference_uid for side in (anatomical, functional)}
    if None in frames:
        return "frame of reference unknown"
    return "one frame of reference" if len(frames) == 1 else "frames of reference differ"


def _unusable(entry: SeriesEntry) -> Leftover:
    reason = entry.reason.removeprefix(f"{entry.where}: ")
    return Leftover(entry.path, entry.modality, reason, entry.where)


def _leftover(entry: SeriesEntry, reason: str) -> Leftover:
    return Leftover(entry.path, entry.modality, reason)
