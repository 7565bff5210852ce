"""What is known of earlier attempts at a pair, where a worker did not live to tell.

An attempt is noted in a file before it begins, and the file goes when one succeeds: whichever way a
worker dies, the pair that it was at work on is known by it, and no pair that merely waited its turn
there. A worker that crashes or hangs leaves its last words too, by Python's faulthandler.

A worker that is killed leaves none. If the kernel has ended processes meanwhile for want of memory,
that may be the pair's doing, or that of whatever else was at work: after the second time the pair
is tried alone, and given up if that does not help. If not, somebody outside kills processes, for
which no pair is to blame: it is tried again, though not for ever.
"""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_FAULTS", "MAX_KILLED", "MAX_STARVED", "MAX_STARVED_BESIDE", "Attempts"]

MAX_FAULTS: Final = 2
"""Attempts that end in an error, a crash or a hang, before a pair is given up."""

MAX_STARVED_BESIDE: Final = 2
"""Attempts that end for want of memory, before a pair is tried only while no other is at work."""

MAX_STARVED: Final = 3
"""Attempts that end for want of memory, before a pair is given up."""

MAX_KILLED: Final = 10
"""Attempts whose worker was killed from outside, before a pair is given up."""

_ERROR: Final = "error"
_STARVED: Final = "starved"
_KILLED: Final = "killed"
"""Ends of an attempt; any other are last words."""

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
        words = self._work / f"{_process()}.crash"
        if words not in _last_words:
            _last_words.clear()
            _last_words[words] = words.open("w")
            faulthandler.enable(_last_words[words])
        self._note(f"{_process()} {_oom_kills()}")
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
        return self._ends().count(_STARVED) >= MAX_STARVED_BESIDE

    def exhausted(self) -> str:
        """Why the pair is to be given up; empty if it may be tried."""
        ends = self._ends()
        starved, killed = ends.count(_STARVED), ends.count(_KILLED)
        if starved >= MAX_STARVED:
            return (
                f"lost its worker {starved} times, at last with no other pair at work (killed, as "
                "for want of memory); run again where there is more of it"
            )
        if killed >= MAX_KILLED:
            return f"lost its worker {killed} times (killed from outside); run again undisturbed"
        faults = [end for end in ends if end not in (_STARVED, _KILLED)]
        if len(faults) < MAX_FAULTS:
            return ""
        end, hint = f"lost its worker ({faults[-1]})", "see where with: refinefuse fuse -v"
        if faults[-1] == _ERROR:
            end = "ended in an error"
        elif faults[-1].startswith("Timeout"):
            end, hint = "took longer than --timeout allows", "give it more, or look into its scans"
        return f"{end} and was given up after {len(ends)} attempts; {hint}"

    def _note(self, line: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _ends(self) -> list[str]:
        """How each attempt ended."""
        try:
            lines = self._file.read_text("utf-8").splitlines()
        except OSError:
            return []
        begun = [line for line in lines if line != _ERROR]
        failed = [behind == _ERROR for line, behind in pairwise([*lines, ""]) if line != _ERROR]
        after = [*begun[1:], f"{_process()} {_oom_kills()}"]
        return [
            _ERROR if is_error else self._last_words_of(one) or _silent_end(one, next_)
            for one, next_, is_error in zip(begun, after, failed, strict=True)
        ]

    def _last_words_of(self, begun: str) -> str:
        try:
            words = (self._work / f"{begun.split()[0]}.crash").read_text("utf-8", "replace")
        except OSError:
            return ""
        return next(iter(words.strip().splitlines()), "")


def _process() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _oom_kills() -> str:
    """How many processes of this machine its kernel has ended for want of memory."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:  # not Linux
        return "?"
    return counts.get("oom_kill", "?")


def _silent_end(begun: str, after: str) -> str:
    """Why a worker was killed in an attempt, by what was noted then and behind it."""
    (process, before), (other, now) = begun.split(), after.split()
    is_here = process.rpartition("-")[0] == other.rpartition("-")[0]
    return _KILLED if is_here and before == now != "?" else _STARVED
