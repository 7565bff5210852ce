"""How a batch is watched: bars on a terminal, a line a pair elsewhere."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from refinefuse_med.batch.watcher import Stop, Watcher
from refinefuse_med.cli.options import log

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from refinefuse_med.batch.cluster import Pool
    from refinefuse_med.batch.outcome import Outcome

__all__ = ["stopping", "watching"]


class _Lines(Watcher):
    """A log line for each pair that ends, with the time that remains."""

    def begin(self, total: int, done: int, pool: Pool) -> None:
        self._total, self._done, self._before = total, done, done
        self._start = time.monotonic()
        before = f", {done} of them done before" if done else ""
        noun = "pair" if total == 1 else "pairs"
        log.info("%d %s%s; dashboard: %s", total, noun, before, pool.dashboard)

    def outcome(self, outcome: Outcome) -> None:
        self._done += 1
        state = f"{self._done}/{self._total}"
        if outcome.status == "failed":
            log.error("%s %s: %s", state, outcome.name, outcome.error, extra=_fields(outcome))
        else:
            log.info(
                "%s %s: %s, %.1f s; %s",
                *(state, outcome.name, outcome.verdict, outcome.seconds, self._remaining()),
                extra=_fields(outcome),
            )

    def _remaining(self) -> str:
        left = self._total - self._done
        spent = time.monotonic() - self._start
        seconds = spent / (self._done - self._before) * left
        time_left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"about {time_left} left" if left else "all done"


class _Bars(_Lines):
    """A bar for the whole, with the time that remains, and one for each pair in work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._all = progress.add_task("pairs", total=None)
        self._tasks: dict[str, TaskID] = {}

    def begin(self, total: int, done: int, pool: Pool) -> None:
        super().begin(total, done, pool)
        self._progress.reset(self._all, total=total, completed=done)

    def stage(self, name: str, stage: str, fraction: float) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=1.0)
        self._progress.update(self._tasks[name], description=f"{name} {stage}", completed=fraction)

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        self._progress.advance(self._all)
        if (task := self._tasks.pop(outcome.name, None)) is not None:
            self._progress.remove_task(task)


def _fields(outcome: Outcome) -> dict[str, Any]:
    """What a log of JSON objects holds beside the message."""
    return {
        "fields": {
            "pair": outcome.name,
            "status": outcome.status,
            "verdict": outcome.verdict,
            "seconds": outcome.seconds,
        }
    }


@contextmanager
def watching(options: dict[str, Any]) -> Iterator[Watcher]:
    """The watcher that the logging options and the terminal ask for."""
    if options["quiet"] or options["no_progress"] or options["log_json"] or not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    # Log lines go above the bars, not through them.
    log.handlers[:] = [RichHandler(console=console, show_path=False, show_time=False)]
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield _Bars(progress)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Turn Ctrl-C into a wish to stop: the first finishes what is in work, the second drops it.

    SIGTERM, by which cluster managers announce the end, drops it at once.
    """
    stop = Stop()

    def interrupt(_number: int, _frame: object) -> None:
        stop.at_once = stop.handing_out
        stop.handing_out = True
        if not stop.in_work:
            log.warning("stopping; no pair is in work")
        elif stop.at_once:
            log.warning("dropping the pairs in work")
        else:
            log.warning("finishing the pairs in work; Ctrl-C again drops them")

    def terminate(_number: int, _frame: object) -> None:
        stop.handing_out = stop.at_once = True

    before = signal.signal(signal.SIGINT, interrupt), signal.signal(signal.SIGTERM, terminate)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
