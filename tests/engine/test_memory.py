"""Freed memory is kept while slices are run, and given back afterwards, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, memory
from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import Monitor

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


class Libc:
    """Stands in for the C library."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.told.append(("mallopt", name, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.told.append(("malloc_trim", pad, 0))
        return 1


@pytest.fixture
def libc(monkeypatch) -> Libc:
    stand_in = Libc()
    monkeypatch.setattr(memory, "_glibc", lambda: stand_in)
    return stand_in


@pytest.mark.parametrize("stopped", [False, True])
def test_memory_is_given_back_also_when_a_run_is_stopped(libc, brighter, sources, stopped):
    engine = Engine(brighter, EngineConfig(device="cpu", batch_size=1))
    monitor = Monitor(is_cancelled=lambda: stopped and len(brighter.seen) == 2)
    try:
        engine.fuse(*sources, AFFINE, monitor)
    except CancelledError:
        assert stopped
    kept, after = memory._KEPT, memory._KEPT_AFTERWARDS
    trims = [value for call, name, value in libc.told if (call, name) == ("mallopt", -1)]
    assert trims == [kept, after]
    assert libc.told[-1] == ("malloc_trim", 0, 0)
    assert kept > after


def test_another_c_library_is_left_alone(monkeypatch, brighter, sources):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    memory._glibc.cache_clear()
    try:
        assert memory._glibc() is None
        result = Engine(brighter, EngineConfig(device="cpu")).fuse(*sources, AFFINE)
    finally:
        memory._glibc.cache_clear()
    assert result.slices == 9
