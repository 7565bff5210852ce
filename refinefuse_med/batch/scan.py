"""Account for every file of an archive, folder by folder, so that memory stays small."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from refinefuse_med.children import in_children
from refinefuse_med.errors import InputError
from refinefuse_med.io import Inspection, SeriesEntry, inspect_path
from refinefuse_med.io.discovery import FoundFile, walk
from refinefuse_med.io.inspection import inspect_files

__all__ = ["ScanCache", "scan_tree"]

CHUNK_FILES: Final = 500
"""Files that one process is given at a time, or one folder where that holds more."""

_PARALLEL_FROM: Final = 4
"""Chunks from which further processes are worth their start."""


ScanCache = dict[Path, tuple[tuple[object, ...], Inspection]]
"""What was found in folders, and by what to see that they are still the same."""


def scan_tree(
    root: Path,
    exclude: Iterable[Path] = (),
    cache: ScanCache | None = None,
    *,
    allow_gaps: bool = False,
) -> Inspection:
    """As `refinefuse_med.io.inspect_path`, for archives that are too large for it.

    Headers are kept of one folder at a time, and folders are read side by side. A series
    that lies in several folders is read a second time, as one. Folders in the `cache` that have not
    changed are not read again. With `allow_gaps`, series that lack slices are usable.

    Raises
    ------
    InputError
        `root` does not exist, cannot be read, or is empty.
    """
    if not root.is_dir():
        return inspect_path(root, allow_gaps=allow_gaps)
    folders = [list(files) for _, files in groupby(walk(root, _below(root, exclude)), key=_folder)]
    if not folders:
        raise InputError("the folder is empty", where=root)
    parts = (
        _inspect_all(folders, allow_gaps)
        if cache is None
        else _inspect_changed(folders, cache, allow_gaps)
    )

    homes: dict[str, list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        for uid in {entry.series_instance_uid for entry in part.series} - {None, ""}:
            homes[uid].append(number)  # type: ignore[index]
    scattered = {uid: where for uid, where in homes.items() if len(where) > 1}
    series: list[SeriesEntry] = [
        entry
        for part in parts
        for entry in part.series
        if entry.series_instance_uid not in scattered
    ]
    for uid, where in scattered.items():
        again = inspect_files(
            (file for number in where for file in folders[number]), allow_gaps=allow_gaps
        )
        series += [entry for entry in again.series if entry.series_instance_uid == uid]
    skipped = sorted((item for part in parts for item in part.skipped), key=lambda i: i.name)
    return Inspection(tuple(series), tuple(skipped))


def _below(root: Path, folders: Iterable[Path]) -> set[Path]:
    """Those of the folders that lie below `root`, as a walk from there names them."""
    start = Path(os.path.realpath(root))
    real = (Path(os.path.realpath(folder)) for folder in folders)
    return {root / folder.relative_to(start) for folder in real if folder.is_relative_to(start)}


def _folder(file: FoundFile) -> Path:
    return file[0].parent


def _inspect_all(folders: list[list[FoundFile]], allow_gaps: bool) -> list[Inspection]:
    chunks = list(_chunks(folders))
    workers = min(os.cpu_count() or 1, len(chunks))
    if len(chunks) < _PARALLEL_FROM or workers == 1:
        return _inspect_chunk(folders, allow_gaps)
    found = in_children(partial(_inspect_chunk, allow_gaps=allow_gaps), chunks, workers)
    return [part for parts in found for part in parts]


def _inspect_changed(
    folders: list[list[FoundFile]], cache: ScanCache, allow_gaps: bool
) -> list[Inspection]:
    signatures = [_signature(files) for files in folders]
    changed = [
        number
        for number, files in enumerate(folders)
        if cache.get(_folder(files[0]), (None,))[0] != signatures[number]
    ]
    read = _inspect_all([folders[number] for number in changed], allow_gaps)
    for number, part in zip(changed, read, strict=True):
        cache[_folder(folders[number][0])] = signatures[number], part
    return [cache[_folder(files[0])][1] for files in folders]


def _signature(files: list[FoundFile]) -> tuple[object, ...]:
    found: list[object] = []
    for path, name, reason in files:
        try:
            status = path.lstat()
        except OSError:
            continue
        found.append((name, reason, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _chunks(folders: list[list[FoundFile]]) -> Iterator[list[list[FoundFile]]]:
    chunk: list[list[FoundFile]] = []
    held = 0
    for files in folders:
        chunk.append(files)
        held += len(files)
        if held >= CHUNK_FILES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _inspect_chunk(folders: list[list[FoundFile]], allow_gaps: bool) -> list[Inspection]:
    return [inspect_files(files, allow_gaps=allow_gaps) for files in folders]
