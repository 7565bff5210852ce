"""Threads that compute a batch of slices each, on the cores of a CPU.

Within a batch PyTorch splits every operation among its threads, and each waits for the others
several hundred times a slice: on a machine that others use too, most of the time. Threads that
run whole batches wait for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Final

import torch

__all__ = ["lanes"]

_SETTING: Final = Lock()


@contextmanager
def lanes(count: int) -> Iterator[list[Executor]]:
    """Give `count` executors of one thread each, in which PyTorch keeps to that one thread.

    The caller's number of PyTorch threads, and that of all others, is left as it was. On the way
    out what has not begun is dropped, and what runs is waited for.

    Parameters
    ----------
    count : int
        1 or more.
    """
    with ExitStack() as stack:
        # The number is a thread's own once it is set there; setting it also sets what threads to
        # come begin with, which is put back before anything is computed.
        with _SETTING:
            threads = torch.get_num_threads()
            try:
                executors: list[Executor] = []
                for _ in range(count):
                    executor = ThreadPoolExecutor(1, "refinefuse-slices")
                    stack.callback(executor.shutdown, cancel_futures=True)
                    executor.submit(_keep_to_one_thread).result()
                    executors.append(executor)
            finally:
                torch.set_num_threads(threads)
        yield executors


def _keep_to_one_thread() -> None:
    # A thread takes over the number of the process when it first asks: not after it is set.
    torch.get_num_threads()
    torch.set_num_threads(1)
