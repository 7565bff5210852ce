"""Long work that napari waits for, such as reading, with the window alive meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Thread, current_thread, main_thread
from typing import TypeVar

__all__ = ["unblocked"]

T = TypeVar("T")


def unblocked(work: Callable[[], T], words: str) -> T:
    """Run `work` in another thread and serve the window until it is done.

    napari calls readers in the main thread and wants their result. Where there is no Qt
    application, or this is not its thread, the work is done here.

    Parameters
    ----------
    work : callable
        Touches no layer and no widget.
    words : str
        What is being done, for napari's activity dock.
    """
    qt = sys.modules.get("qtpy.QtWidgets")
    if qt is None or qt.QApplication.instance() is None or current_thread() is not main_thread():
        return work()

    from napari.utils import progress
    from qtpy.QtCore import QEventLoop, QTimer

    from refinefuse_napari._collector import collector

    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, name="refinefuse reading")
    loop = QEventLoop()
    watch = QTimer()
    watch.timeout.connect(lambda: None if thread.is_alive() else loop.quit())
    with progress(total=0, desc=words):
        collector().hold()
        thread.start()
        watch.start(20)
        loop.exec()
        watch.stop()
        thread.join()
        collector().release()
    if errors:
        raise errors[0]
    return results[0]
