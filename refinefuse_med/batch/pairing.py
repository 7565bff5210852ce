"""Choose, for each functional scan of a person, the anatomical one to fuse it with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from refinefuse_med.batch.persons import Person
from refinefuse_med.batch.score import Score, affinity_of, score_of
from refinefuse_med.io import SeriesEntry

__all__ = ["DEFAULT_MAX_DAYS", "PARTNERS", "Match", "match_scans"]

PARTNERS: Final = {"PT": ("MR", "CT"), "NM": ("MR", "CT"), "CT": ("MR",)}
"""For each functional modality the anatomical ones that it is fused with, best first."""

DEFAULT_MAX_DAYS: Final = 90


@dataclass(frozen=True)
class Match:
    """Two scans of one person, chosen for each other.

    Attributes
    ----------
    anatomical, functional : SeriesEntry
    affinity : Score
        What speaks for these two, beyond what each is worth by itself.
    days_apart : int or None
        Between the two; None where a date is not known.
    """

    anatomical: SeriesEntry
    functional: SeriesEntry
    affinity: Score
    days_apart: int | None


def match_scans(
    person: Person, max_days: int | None
) -> tuple[list[Match], list[tuple[SeriesEntry, str]]]:
    """Match the scans of a person, and give those left out with the reason.

    The best functional scan of each modality and study is taken, and for it the anatomical
    scan of the best modality there is (MR before CT) with the most points. Scans of two studies
    more than `max_days` apart are not matched.
    """
    matches: list[Match] = []
    left_out: dict[int, tuple[SeriesEntry, str]] = {}
    for modality, partners in PARTNERS.items():
        for study, rivals in _by_study(person, modality):
            functional, *others = rivals
            for other in others:
                left_out[id(other)] = (other, _outdone(other, functional, "study"))
            match = _best_match(person, study, functional, partners, max_days)
            if isinstance(match, Match):
                matches.append(match)
            else:
                left_out[id(functional)] = (functional, match)
    used = {id(entry) for match in matches for entry in (match.anatomical, match.functional)}
    for _, entry in person.scans:
        if id(entry) not in used:
            left_out.setdefault(id(entry), (entry, _unused(entry, matches)))
    return matches, [reason for key, reason in left_out.items() if key not in used]


def _by_study(person: Person, modality: str) -> Iterator[tuple[str, list[SeriesEntry]]]:
    """For each study its scans of a modality, the best first."""
    studies: dict[str, list[SeriesEntry]] = defaultdict(list)
    for study, entry in person.scans:
        if entry.modality == modality:
            studies[study].append(entry)
    for study, entries in sorted(studies.items()):
        yield study, sorted(entries, key=_rank, reverse=True)


def _rank(entry: SeriesEntry) -> tuple[float, int, str, str]:
    voxels = 1
    for size in entry.shape:
        voxels *= size
    return score_of(entry).total, voxels, entry.series_instance_uid or "", entry.path


def _best_match(
    person: Person,
    study: str,
    functional: SeriesEntry,
    partners: tuple[str, ...],
    max_days: int | None,
) -> Match | str:
    nearest: int | None = None
    for modality in partners:
        found: list[tuple[float, tuple[float, int, str, str], Match]] = []
        for other_study, anatomical in person.scans:
            if anatomical.modality != modality or anatomical is functional:
                continue
            days = _days_apart(anatomical, functional)
            same = study == other_study
            if max_days is not None and not same and days is not None and days > max_days:
                nearest = days if nearest is None else min(nearest, days)
                continue
            affinity = affinity_of(anatomical, functional, same_study=same, days_apart=days)
            match = Match(anatomical, functional, affinity, days)
            rank = _rank(anatomical)
            found.append((affinity.total + rank[0], rank, match))
        if found:
            return max(found, key=lambda item: item[:2])[2]
    if nearest is not None:
        return f"the nearest scan to fuse it with is {nearest} days away (--max-days {max_days})"
    return "no scan of the same patient to fuse it with"


def _days_apart(one: SeriesEntry, other: SeriesEntry) -> int | None:
    first, second = one.identity.study_date, other.identity.study_date
    return None if first is None or second is None else abs((first - second).days)


def _outdone(entry: SeriesEntry, better: SeriesEntry, of: str) -> str:
    more, less = score_of(better), score_of(entry)
    if more.total == less.total:
        return f"another {entry.modality} of the {of} has as many points: {less}"
    return f"another {entry.modality} of the {of} has more points: {more}, against {less}"


def _unused(entry: SeriesEntry, matches: list[Match]) -> str:
    rivals = [m.anatomical for m in matches if m.anatomical.modality == entry.modality]
    if rivals:
        return _outdone(entry, max(rivals, key=_rank), "patient")
    if entry.modality not in {*PARTNERS, *(name for names in PARTNERS.values() for name in names)}:
        return f"modality {entry.modality} has no role: name the pair with --pairs"
    return "no scan of the same patient to fuse it with"
