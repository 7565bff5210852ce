"""A folder that scans arrive in: each pair is fused once all of its person's scans are there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from refinefuse_med.batch.plan import BatchPlan
from refinefuse_med.errors import InputError, NoPairError
from refinefuse_med.io import SeriesEntry

__all__ = ["Arrivals", "plans_of_arrivals"]


@dataclass
class Arrivals:
    """Which scans under a folder are still arriving: those with files newer than `settle_s`.

    By the time that this process first saw a file with its size and date, so that the clocks of
    other machines do not matter.
    """

    root: Path
    settle_s: float
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict, repr=False)
    _fresh: frozenset[PurePosixPath] = field(default=frozenset(), repr=False)

    def look(self) -> tuple[bool, frozenset[PurePosixPath]]:
        """Whether anything has changed since the last look, and the folders still arriving."""
        now = self.clock()
        before, self._seen = self._seen, {}
        fresh: set[PurePosixPath] = set()
        for name, status in _files(self.root):
            kept = before.get(name)
            since = kept[1] if kept is not None and kept[0] == status else now
            self._seen[name] = status, since
            if now - since < self.settle_s:
                fresh.add(PurePosixPath(name).parent)
        changed = self._seen != before or frozenset(fresh) != self._fresh
        self._fresh = frozenset(fresh)
        return changed, self._fresh

    def is_arriving(self, entry: SeriesEntry) -> bool:
        """Whether files of a series, or beside them, are still arriving."""
        place = PurePosixPath(entry.path)
        return any(
            place in (folder, *folder.parents) or folder == place.parent for folder in self._fresh
        )


def _files(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for parent, _, files in os.walk(root):
        for name in files:
            path = Path(parent, name)
            try:
                status = path.stat()
            except OSError:  # moved away meanwhile
                continue
            yield path.relative_to(root).as_posix(), (status.st_size, status.st_mtime_ns)


def plans_of_arrivals(
    arrivals: Arrivals,
    plan: Callable[[], BatchPlan],
    is_over: Callable[[], bool],
    poll_s: float = 2.0,
) -> Iterator[BatchPlan]:
    """Yield a plan whenever something has changed, until it is over.

    Parameters
    ----------
    arrivals : Arrivals
    plan : callable
        Makes a plan of the scans that have arrived.
    is_over : callable
    poll_s : float
        Seconds between two looks.
    """
    while not is_over():
        changed, _ = arrivals.look()
        if not changed:
            time.sleep(poll_s)
            continue
        with suppress(NoPairError, InputError):  # nothing is there yet
            yield plan()
