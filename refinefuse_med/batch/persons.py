"""Which scans are of one person, as far as that is sure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Final

from refinefuse_med.io import SeriesEntry
from refinefuse_med.io.identity import Identity

__all__ = ["Person", "persons_of"]

_BIDS: Final = re.compile(
    r"^(?P<root>.*/)?sub-(?P<subject>[A-Za-z0-9]+)/(?:ses-(?P<session>[A-Za-z0-9]+)/)?[^/]+/"
    r"sub-(?P=subject)_(?:[^/]*_)?(?P<suffix>[A-Za-z0-9]+)\.nii(?:\.gz)?$"
)
"""``sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz`` (BIDS 1.10, common principles)."""

_BIDS_MODALITIES: Final = {
    "T1w": "MR",
    "T2w": "MR",
    "PDw": "MR",
    "FLAIR": "MR",
    "T2starw": "MR",
    "T1rho": "MR",
    "angio": "MR",
    "inplaneT1": "MR",
    "inplaneT2": "MR",
    "ct": "CT",
    "CT": "CT",
    "pet": "PT",
    "spect": "NM",
    "nm": "NM",
}

_NOT_RAW: Final = ("derivatives", "sourcedata")

_MASKS: Final = frozenset(
    ("brainmask", "dseg", "label", "labels", "mask", "probseg", "roi", "seg", "segmentation")
)
"""Words of the names of files that hold no scan, although they look like one."""


@dataclass(frozen=True)
class Person:
    """Scans of one person.

    Attributes
    ----------
    identity : tuple of str
        What makes them one; may name a person, and is never shown.
    kind : str
        What they share: ``patient``, ``study``, ``subject`` or ``folder``.
    scans : list of (str, SeriesEntry)
        Each with its study: a StudyInstanceUID, a BIDS session, or a folder.
    """

    identity: tuple[str, ...]
    kind: str
    scans: list[tuple[str, SeriesEntry]] = field(default_factory=list)


def persons_of(
    entries: Iterable[SeriesEntry],
) -> tuple[list[Person], list[tuple[SeriesEntry, str]]]:
    """Group scans by person, and give the ones that cannot be grouped with the reason.

    DICOM series are of one person where they share a patient ID and no birth date contradicts;
    without an ID, where name and birth date are there and agree; else within one study only.
    NIfTI files are grouped by BIDS subject, else by folder.
    """
    persons: dict[tuple[str, ...], Person] = {}
    left_out: list[tuple[SeriesEntry, str]] = []
    by_id: dict[str, list[SeriesEntry]] = defaultdict(list)

    def add(kind: str, identity: tuple[str, ...], study: str, entry: SeriesEntry) -> None:
        person = persons.setdefault((kind, *identity), Person((kind, *identity), kind))
        person.scans.append((study, entry))

    for entry in entries:
        who, study = entry.identity, entry.identity.study_uid or entry.series_instance_uid or ""
        if entry.series_instance_uid is None:
            if any(part in _NOT_RAW for part in PurePosixPath(entry.path).parts):
                left_out.append((entry, "BIDS derivative or source data, not raw data"))
            elif _MASKS.intersection(re.split("[^a-z]+", PurePosixPath(entry.path).name.lower())):
                left_out.append((entry, "a mask, by its name: else name the pair with --pairs"))
            elif found := _BIDS.match(entry.path):
                modality = _BIDS_MODALITIES.get(found["suffix"], entry.modality)
                subject = (found["root"] or "", found["subject"])
                add("subject", subject, found["session"] or "", replace(entry, modality=modality))
            else:
                folder = str(PurePosixPath(entry.path).parent)
                add("folder", (folder,), folder, entry)
        elif who.patient_id:
            by_id[who.patient_id].append(entry)
        elif who.patient_name and who.birth_date:
            add("patient", ("", who.patient_name, who.birth_date), study, entry)
        else:
            add("study", (study, who.patient_name, who.birth_date), study, entry)
    for patient_id, alike in by_id.items():
        what, told_apart = _told_apart([entry.identity for entry in alike])
        for entry, by in zip(alike, told_apart, strict=True):
            if by is None:
                left_out.append((entry, f"its patient ID stands for people of several {what}"))
            else:
                study = entry.identity.study_uid or entry.series_instance_uid or ""
                add("patient", (patient_id, by), study, entry)
    return list(persons.values()), left_out


def _told_apart(people: Sequence[Identity]) -> tuple[str, list[str | None]]:
    """What tells people of one ID apart, and that of each; None where just that is missing."""
    births = [person.birth_date or None for person in people]
    names = [person.patient_name or None for person in people]
    if len(set(births) - {None}) > 1:
        return "birth dates", births
    # Names change and are misspelt: they matter only where no birth date speaks for all.
    if len(set(names) - {None}) > 1 and None in births:
        return "names", names
    return "", [""] * len(people)
