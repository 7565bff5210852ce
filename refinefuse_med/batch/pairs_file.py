"""Pairs that the user names, as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from refinefuse_med.batch.score import score_of
from refinefuse_med.errors import InputError, UsageError
from refinefuse_med.io import SeriesEntry

__all__ = ["read_pairs"]

_COLUMNS = ("anatomical", "functional")


def read_pairs(
    path: Path, root: Path, entries: list[SeriesEntry]
) -> Iterator[tuple[int, SeriesEntry, SeriesEntry]]:
    """Yield the number of each line of a CSV file, and the two scans that it names.

    The file has the columns ``anatomical`` and ``functional``. A scan is named by its
    SeriesInstanceUID, or by the path of its file or folder, below `root` or absolute; of
    several series in one folder the one with the most points is taken.

    Raises
    ------
    InputError
        The file cannot be read.
    UsageError
        It lacks a column, or names a scan that is not there or not usable.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"no column {missing[0]!r}", where=path, hint="needs: anatomical,functional"
                )
            rows = [
                (reader.line_num, [(row[name] or "").strip() for name in _COLUMNS])
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"the pairs file cannot be read ({said})", where=path) from error
    for line, names in rows:
        first, second = (_find(name, root, entries, f"{path}, line {line}") for name in names)
        if first is second:
            raise UsageError("both sides are the same scan", where=f"{path}, line {line}")
        yield line, first, second


def _find(name: str, root: Path, entries: list[SeriesEntry], where: str) -> SeriesEntry:
    place = PurePosixPath(name)
    if place.is_absolute() and Path(name).is_relative_to(root.absolute()):
        place = PurePosixPath(Path(name).relative_to(root.absolute()).as_posix())
    fitting = [
        entry
        for entry in entries
        if name and (entry.series_instance_uid == name or PurePosixPath(entry.path) == place)
    ]
    if not fitting:
        raise UsageError(
            f"{name!r} is no usable scan under {root}",
            where=where,
            hint="list them with: refinefuse inspect",
        )
    return max(fitting, key=lambda entry: score_of(entry).total)
