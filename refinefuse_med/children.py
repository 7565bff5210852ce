"""Have child processes do what is Python's own work, which threads cannot do side by side.

They are plain child processes and not those of `multiprocessing`, which would run a user's script a
second time where it is not guarded by ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

__all__ = ["in_children"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_children(call: Callable[[_T], _R], items: Sequence[_T], workers: int) -> Iterator[_R]:
    """Yield ``call(item)`` of each item, in order, as `workers` child processes work them out.

    The call, a function of a module or a `functools.partial` of one, is made here where a child
    fails, so that its errors are raised here.
    """
    pool = _Pool(call)
    with ThreadPoolExecutor(workers) as threads:
        try:
            yield from threads.map(pool.ask, items)
        finally:
            threads.shutdown(cancel_futures=True)
            pool.close()


class _Pool:
    """A child process for each thread that asks."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._own = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def ask(self, item: Any) -> Any:
        """Ask the thread's child; do it here where that fails."""
        try:
            child = self._child()
            assert child.stdin is not None
            assert child.stdout is not None
            pickle.dump((self._call, item), child.stdin)
            child.stdin.flush()
            return pickle.load(child.stdout)  # noqa: S301  # our own child
        except (OSError, EOFError, pickle.PickleError):
            return self._call(item)

    def close(self) -> None:
        """Let the children end: there is nothing more to do."""
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
    """Answer each call, until there are no more."""
    while True:
        try:
            call, item = pickle.load(wanted)  # noqa: S301  # from our own parent
        except EOFError:
            return
        pickle.dump(call(item), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
