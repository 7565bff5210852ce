"""Work in other threads: what it tells the main thread, and what it keeps off it."""

from __future__ import annotations

import gc
import threading

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from refinefuse_med.errors import CancelledError
from refinefuse_napari._worker import Job, Turns


def run(job, work, qtbot):
    with qtbot.waitSignal(job.ended, timeout=10_000) as ended:
        job.start(work).join()
    return ended.args[0]


def test_each_stage_is_told_and_not_each_step(qtbot):
    told = []
    job = Job()
    job.progressed.connect(lambda stage, fraction: told.append((stage, fraction)))

    def work(monitor):
        for stage in ("reading", "fuse"):
            for _ in monitor.watch(stage, range(5000), 5000):
                pass

    run(job, work, qtbot)
    assert [stage for stage, _ in told] == ["reading", "fuse"]


def test_work_ends_with_what_it_gives_back_or_its_error(qtbot):
    job = Job()
    assert run(job, lambda monitor: 7, qtbot) == 7
    error = ValueError("x")

    def fails(monitor):
        raise error

    assert run(job, fails, qtbot) is error
    job.start(lambda monitor: [monitor.check() for _ in iter(int, 1)])
    with qtbot.waitSignal(job.ended, timeout=10_000) as ended:
        job.cancel()
    assert isinstance(ended.args[0], CancelledError)


def test_nothing_is_collected_but_in_the_main_thread(qtbot):
    """Garbage with Qt in it, destroyed elsewhere, would abort the process."""
    seen = []

    def note(phase, info):
        seen.append(threading.current_thread())

    def work(monitor):
        for _ in range(200_000):
            cycle = []
            cycle.append(cycle)
        return gc.isenabled()

    gc.callbacks.append(note)
    try:
        enabled = run(Job(), work, qtbot)
    finally:
        gc.callbacks.remove(note)
    assert not enabled
    assert set(seen) <= {threading.main_thread()}
    qtbot.waitUntil(gc.isenabled, timeout=5000)


def test_the_window_lives_between_the_steps_in_the_main_thread(qtbot):
    took = []
    turns = Turns()
    turns.take(lambda: took.append(1), lambda: took.append(2))
    turns.take(lambda: took.append(3))
    assert took == [1]
    qtbot.waitUntil(lambda: len(took) > 1, timeout=10_000)
    turns.take(lambda: took.append(4))
    qtbot.waitUntil(lambda: len(took) == 4, timeout=10_000)
    assert took == [1, 2, 3, 4]
    turns.take(lambda: took.append(5))
    assert took[-1] == 5
