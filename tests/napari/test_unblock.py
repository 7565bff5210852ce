"""Reading leaves the window alive."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from refinefuse_med.errors import InputError
from refinefuse_napari._unblock import unblocked


def test_the_main_thread_serves_the_window_meanwhile(qapp):
    from qtpy.QtCore import QTimer

    beats = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(threading.current_thread()))
    timer.start(10)

    def work():
        time.sleep(0.3)
        return threading.current_thread()

    worked_in = unblocked(work, "reading")
    timer.stop()
    assert worked_in is not threading.main_thread()
    assert len(beats) >= 5
    assert set(beats) == {threading.main_thread()}


def test_an_error_comes_through_as_it_was_raised(qapp):
    def work():
        raise InputError("no such file", where="x")

    with pytest.raises(InputError, match="x: no such file"):
        unblocked(work, "reading")


def test_beside_the_main_thread_it_is_done_where_it_is_asked_for(qapp):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(unblocked(threading.current_thread, "reading"))
    )
    thread.start()
    thread.join()
    assert found == [thread]
