"""Read the headers of many files, in processes of their own where that is worth it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from refinefuse_med.children import in_children
from refinefuse_med.io.headers import DicomFile
from refinefuse_med.io.images import Skipped, read_image
from refinefuse_med.progress import Monitor

__all__ = ["read_images"]

PARALLEL_FROM: Final = 2000
"""Files from which further processes are worth their start."""

MAX_WORKERS: Final = 8

_CHUNK: Final = 200
_STAGE: Final = "reading headers"

_Found = DicomFile | Skipped


def read_images(files: Sequence[tuple[Path, str]], monitor: Monitor) -> list[_Found]:
    """Read the header of each file, in order; tell how far it is after every few hundred."""
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    found: list[_Found] = []
    for part in _parts(chunks, len(files)):
        found += part
        monitor.update(_STAGE, len(found) / len(files))
    return found


def _parts(chunks: list[Sequence[tuple[Path, str]]], count: int) -> Iterator[list[_Found]]:
    workers = min(os.cpu_count() or 1, MAX_WORKERS)
    if count < PARALLEL_FROM or workers == 1:
        return map(_read, chunks)
    return in_children(_read, chunks, workers)


def _read(chunk: Sequence[tuple[Path, str]]) -> list[_Found]:
    return [read_image(path, name) for path, name in chunk]
