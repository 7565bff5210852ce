"""What is known of earlier attempts at a pair, where a worker did not live to tell.

A worker that crashes leaves its last words in a file, by Python's faulthandler; one that is
killed from outside leaves none. So that a pair which crashes or hangs is given up after its second
attempt, and one whose worker was merely lost is not.
"""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_LOST_WORKERS", "Attempts"]

MAX_ATTEMPTS: Final = 2

MAX_LOST_WORKERS: Final = 30
"""How often a worker may be lost under a pair, without a last word, before it is given up."""

_last_words: dict[Path, Any] = {}
"""Files that this process writes its last words into, by the folder of the run."""


class Attempts:
    """The attempts at one pair, in a file of the run's folder that outlives workers."""

    def __init__(self, work: Path, name: str) -> None:
        self._work = work
        self._file = work / f"{name}.attempts"

    @contextmanager
    def attempt(self, timeout_s: float | None) -> Iterator[None]:
        """Take note that this process is trying the pair; end the process after `timeout_s`.

        Python's faulthandler does so from a thread of its own, whatever hangs: it writes
        where it hung as the last words.
        """
        words = self._work / f"{socket.gethostname()}-{os.getpid()}.crash"
        if words not in _last_words:
            _last_words.clear()
            _last_words[words] = words.open("w")
            faulthandler.enable(_last_words[words])
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{words.name}\n")
        if timeout_s is None:
            yield
            return
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=_last_words[words])
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def exhausted(self) -> str:
        """Why the pair is to be given up; empty if it may be tried."""
        ends = [end for line in self._lines() if (end := self._last_words_of(line))]
        if len(ends) < MAX_ATTEMPTS:
            return ""
        return f"{ends[-1]} and was given up after {len(ends)} attempts"

    def _last_words_of(self, process: str) -> str:
        try:
            words = (self._work / process).read_text("utf-8", "replace").strip()
        except OSError:
            return ""
        if words.startswith("Timeout"):
            return "took longer than --timeout allows"
        return f"crashed its worker ({words.splitlines()[0]})" if words else ""

    def _lines(self) -> list[str]:
        try:
            return self._file.read_text("utf-8").splitlines()
        except OSError:
            return []
