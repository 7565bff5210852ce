"""Garbage is collected in the main thread, also while there are others.

Python collects in whatever thread happens to allocate. Where that is not the main thread, and
the garbage holds a widget or an OpenGL context, Qt aborts the process. napari leaves such
garbage behind: a layer's controls, a dialog, a window.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import Final

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal

__all__ = ["Collector", "collector", "sweep"]

_EVERY_MS: Final = 1000


class Collector(QObject):
    """Keeps Python from collecting by itself while there is work in other threads.

    What is young is collected meanwhile, here in the main thread, in a few milliseconds.
    """

    _released = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._holders = 0
        self._was_enabled = False
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(lambda: gc.collect(1))
        self._released.connect(self._release, Qt.ConnectionType.QueuedConnection)

    def hold(self) -> None:
        """Begin to keep it back; from the main thread."""
        if self._holders == 0:
            self._was_enabled = gc.isenabled()
            gc.disable()
            self._timer.start()
        self._holders += 1

    def release(self) -> None:
        """The work of one `hold` is done; from whatever thread."""
        self._released.emit()

    def _release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._timer.stop()
            if self._was_enabled:
                gc.enable()


@cache
def collector() -> Collector:
    """The one there is; to be called from the main thread first."""
    return Collector()


def sweep() -> None:
    """Free at once what was removed from the window; from the main thread.

    A removed layer lives on in its controls, which Qt deletes when it comes to it, and in
    circles, which Python collects when it comes to it: while there is work, neither does.
    """
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
