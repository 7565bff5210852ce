"""What surrounds the work on a pair: attempts, errors, progress, the end of the run."""

from __future__ import annotations

import errno
import gc
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from refinefuse_med.batch.attempts import Attempts
from refinefuse_med.batch.job import Job, Stage
from refinefuse_med.batch.outcome import TO_BE_ALONE, Outcome
from refinefuse_med.batch.plan import Pair
from refinefuse_med.errors import (
    CancelledError,
    GeometryError,
    ModelError,
    OutputError,
    RefineFuseError,
    RegistrationFailedError,
    told,
)
from refinefuse_med.progress import Monitor

__all__ = ["guarded"]

_T = TypeVar("_T")

_SAME_AGAIN: Final = (GeometryError, RegistrationFailedError, ModelError)
"""What a second attempt would only repeat."""

_EVERY_S: Final = 0.5

log = logging.getLogger(__name__)


def guarded(job: Job, stage: Stage, work: Callable[[Monitor], _T]) -> _T | Outcome:
    """Do the work on a pair, once more where it fails, and turn its failure into an outcome.

    A pair whose earlier attempts at the stage ended with the worker is given up, or left to be
    tried alone, as `Attempts` tells.
    """
    start = time.perf_counter()
    attempts = Attempts(job.work, job.pair.name, stage)
    if reason := attempts.exhausted():
        return Outcome(job.pair.name, "failed", error=reason, exit_status=1)
    if attempts.want_solitude() and not job.alone:
        return Outcome(job.pair.name, "pending", error=TO_BE_ALONE)
    monitor = _monitor(job)
    for last in (False, True):
        try:
            with attempts.attempt(job.timeout_s):
                return work(monitor)
        except CancelledError:
            return Outcome(job.pair.name, "pending", error="stopped on request")
        except Exception as error:
            log.debug("%s", job.pair.name, exc_info=True)
            over = last or attempts.exhausted() or isinstance(error, _SAME_AGAIN)
            if over or _is_disk_full(error):
                return _failure(job.pair, error, time.perf_counter() - start)
        gc.collect()  # the volumes of the first attempt hang on its traceback
    raise AssertionError


def _failure(pair: Pair, error: Exception, seconds: float) -> Outcome:
    disk_full = _is_disk_full(error)
    reason = told(
        error,
        hint="see where with: refinefuse fuse -v",
        memory_hint="run fewer workers at a time with --jobs",
    )
    if disk_full:
        reason = OutputError("the disk is full", hint="free some space, and run the batch again")
    return Outcome(
        pair.name,
        "failed",
        error=_without_names(reason, pair),
        exit_status=reason.exit_status,
        seconds=round(seconds, 3),
        disk_full=disk_full,
    )


def _without_names(error: RefineFuseError, pair: Pair) -> str:
    """What an error says, with neither folders nor files, which are often named after patients."""
    text = str(error)
    where = error.where
    for role, scan in (("anatomical", pair.anatomical), ("functional", pair.functional)):
        for name in scan.files:
            if where == Path(name).name:
                text = text.replace(where, f"a file of {role}", 1)
            text = text.replace(str(scan.path / name), f"a file of {role}")
        text = text.replace(str(scan.path), role)
    return text


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _monitor(job: Job) -> Monitor:
    """Tell the run of the progress, now and then, and ask whether the run is still there."""
    tell = _teller(job)
    tell("read", 0.0)
    told, asked = ("", 0.0), 0.0

    def on_progress(stage: str, fraction: float) -> None:
        nonlocal told
        now = time.monotonic()
        if stage != told[0] or now - told[1] > _EVERY_S:
            told = stage, now
            tell(stage, fraction)

    def is_cancelled() -> bool:
        nonlocal asked
        now = time.monotonic()
        if now - asked < _EVERY_S:
            return False
        asked = now
        return not job.work.exists()

    return Monitor(on_progress, is_cancelled)


def _teller(job: Job) -> Callable[[str, float], None]:
    if not job.topic:
        return lambda _stage, _fraction: None
    from distributed import get_worker

    worker = get_worker()

    def tell(stage: str, fraction: float) -> None:
        message = {"pair": job.pair.name, "stage": stage, "fraction": fraction}
        worker.log_event(job.topic, message)

    return tell
