"""What is known of earlier attempts at a pair, where a worker did not live to tell.

An attempt is noted in a file before it begins, and the file goes when one succeeds: whichever way a
worker dies, the pair that it was at work on is known by it, and no pair that merely waited its turn
there. A worker that crashes or hangs leaves its last words too, by Python's faulthandler.

A worker that is killed leaves none. That may be the pair's doing, which took more memory than there
is, or that of whatever else was at work, or of somebody who kills processes. So a pair is given up
for two errors, crashes or hangs, but not for two kills: it is then tried alone, where neither
another pair's want of memory nor its own beside another's can end it, and given up if that does not
help either.
"""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_FAULTS", "MAX_KILLS", "MAX_KILLS_BESIDE", "Attempts"]

MAX_FAULTS: Final = 2
"""Attempts that end in an error, a crash or a hang, before a pair is given up."""

MAX_KILLS_BESIDE: Final = 2
"""Attempts whose worker was killed, before a pair is tried only while no other is at work."""

MAX_KILLS: Final = 5
"""Attempts whose worker was killed, before a pair is given up."""

_ERROR: Final = "error"
"""Line behind that of an attempt which its worker survived."""

_KILLED: Final = ""
"""End of an attempt of which nothing is left."""

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
        self._note(words.name)
        if timeout_s is not None:
            faulthandler.dump_traceback_later(timeout_s, exit=True, file=_last_words[words])
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the run is over, or the disk full: the error tells
                self._note(_ERROR)
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew: the pair is handed out for the first time, or its scans changed."""
        self._file.unlink(missing_ok=True)

    def want_solitude(self) -> bool:
        """Whether the pair is to be tried only while no other one is at work."""
        return self._ends().count(_KILLED) >= MAX_KILLS_BESIDE

    def exhausted(self) -> str:
        """Why the pair is to be given up; empty if it may be tried."""
        ends = self._ends()
        kills = ends.count(_KILLED)
        if kills >= MAX_KILLS:
            return (
                f"lost its worker {kills} times (killed from outside, or for want of memory), also "
                "with no other pair at work; run again where there is more memory"
            )
        if len(ends) - kills < MAX_FAULTS:
            return ""
        last = [end for end in ends if end != _KILLED][-1]
        hint = "see where with: refinefuse fuse -v"
        if last == _ERROR:
            end = "ended in an error"
        elif last.startswith("Timeout"):
            end, hint = "took longer than --timeout allows", "give it more, or look into its scans"
        else:
            end = f"lost its worker ({last})"
        return f"{end} and was given up after {len(ends)} attempts; {hint}"

    def _note(self, line: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _ends(self) -> list[str]:
        """How each attempt ended: in an error, by the first of some last words, or without any."""
        try:
            lines = self._file.read_text("utf-8").splitlines()
        except OSError:
            return []
        ends: list[str] = []
        for line in lines:
            if line == _ERROR:
                ends[-1] = line
            else:
                ends.append(self._last_words_of(line))
        return ends

    def _last_words_of(self, process: str) -> str:
        try:
            words = (self._work / process).read_text("utf-8", "replace").strip()
        except OSError:
            return _KILLED
        return words.splitlines()[0] if words else _KILLED
