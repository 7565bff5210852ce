"""What is known of earlier attempts at a pair, where a worker did not live to tell.

An attempt is noted in a file before it begins, and the file goes when one succeeds: whichever way a
worker dies, the pair that it was at work on is known by it, and no pair that merely waited its turn
there. A worker that crashes or hangs leaves its last words too, by Python's faulthandler.
"""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_ATTEMPTS", "Attempts"]

MAX_ATTEMPTS: Final = 2

_last_words: dict[Path, Any] = {}
"""Files that this process writes its last words into, by the folder of the run."""


class Attempts:
    """The attempts at one stage of a pair, in a file of the run's folder that outlives workers."""

    def __init__(self, work: Path, name: str, stage: str) -> None:
        self._work = work
        self._file = work / f"{name}.{stage}.attempts"

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
        if timeout_s is not None:
            faulthandler.dump_traceback_later(timeout_s, exit=True, file=_last_words[words])
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew: the pair is handed out for the first time, or its scans changed."""
        self._file.unlink(missing_ok=True)

    def exhausted(self) -> str:
        """Why the pair is to be given up; empty if it may be tried."""
        try:
            lines = self._file.read_text("utf-8").splitlines()
        except OSError:
            return ""
        if len(lines) < MAX_ATTEMPTS:
            return ""
        end, hint = self._end_of(lines[-1])
        return f"{end} and was given up after {len(lines)} attempts; {hint}"

    def _end_of(self, process: str) -> tuple[str, str]:
        """How an attempt ended, and what to do about it."""
        try:
            words = (self._work / process).read_text("utf-8", "replace").strip()
        except OSError:
            words = ""
        if words.startswith("Timeout"):
            return "took longer than --timeout allows", "give it more, or look into its scans"
        if not words:
            how, hint = "killed from outside, or for want of memory", "run again with --jobs 1"
        else:
            how, hint = words.splitlines()[0], "see where with: refinefuse fuse -v"
        return f"lost its worker ({how})", hint
