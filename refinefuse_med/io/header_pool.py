"""Read the headers of many files, in processes of their own where that is worth it.

Parsing headers is Python's work, so that threads do not help. The workers are plain child
processes and not those of `multiprocessing`, which would run a user's script a second time.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

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
        yield from map(_read, chunks)
        return
    pool = _Pool()
    with ThreadPoolExecutor(workers) as threads:
        try:
            yield from threads.map(pool.read, chunks)
        finally:
            threads.shutdown(cancel_futures=True)
            pool.close()


def _read(chunk: Sequence[tuple[Path, str]]) -> list[_Found]:
    return [read_image(path, name) for path, name in chunk]


class _Pool:
    """A child process for each thread that asks."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def read(self, chunk: Sequence[tuple[Path, str]]) -> list[_Found]:
        """Have a chunk read by the thread's child; read it here where that fails."""
        try:
            child = self._child()
            assert child.stdin is not None
            assert child.stdout is not None
            pickle.dump(list(chunk), child.stdin)
            child.stdin.flush()
            found: list[_Found] = pickle.load(child.stdout)  # noqa: S301  # our own child
            return found
        except (OSError, EOFError, pickle.PickleError):
            return _read(chunk)

    def close(self) -> None:
        """Let the children end: there is nothing more to read."""
        for child in self._all:
            child.kill()
            child.communicate()

    def _child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._own, "child", None)
        if child is None:
            paths = os.pathsep.join(path for path in sys.path if path)
            child = self._own.child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
            self._all.append(child)
        return child


def _serve(wanted: BinaryIO, answers: BinaryIO) -> None:
    """Answer each list of files with what is in them, until there are no more."""
    while True:
        try:
            chunk = pickle.load(wanted)  # noqa: S301  # from our own parent
        except EOFError:
            return
        pickle.dump(_read(chunk), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
