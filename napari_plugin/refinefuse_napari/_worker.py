"""Work in other threads: one job at a time, and the newest of many small requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from refinefuse_med.progress import Monitor

__all__ = ["Job", "Latest", "Work"]

Work = Callable[[Monitor], Any]


class Job(QObject):
    """Runs work in a thread, and tells of it in the main thread.

    Not a worker of napari's: those change the warning filters of the whole process while
    they run, and connect a slot that fails to their errors (0.9.2).

    Signals
    -------
    progressed : str, float
        Stage and its fraction done.
    ended : object
        What the work gave back, or the exception that ended it.
    """

    progressed = Signal(str, float)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = stop = Event()
        # A panel that is closed takes its work with it, and so does napari.
        self.destroyed.connect(lambda: stop.set())
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.cancel)

    def start(self, work: Work) -> Thread:
        """Start `work`; the job must have ended its last."""
        self._stop.clear()
        monitor = Monitor(on_progress=self._progress, is_cancelled=self._stop.is_set)
        thread = Thread(target=self._run, args=(work, monitor), name="refinefuse work")
        thread.start()
        return thread

    def cancel(self) -> None:
        """Ask the work to stop; it ends with a `CancelledError` at its next step."""
        self._stop.set()

    def _run(self, work: Work, monitor: Monitor) -> None:
        ended: object
        try:
            ended = work(monitor)
        except Exception as error:
            ended = error
        # Once the panel is closed there is nobody to tell.
        with suppress(RuntimeError):
            self.ended.emit(ended)

    def _progress(self, stage: str, fraction: float) -> None:
        with suppress(RuntimeError):
            self.progressed.emit(stage, fraction)


class Latest(QObject):
    """Runs the newest of many requests; one that a newer one overtakes never starts.

    Parameters
    ----------
    wait_ms : int
        A request waits this long for a newer one.

    Signals
    -------
    came : object
        As `Job.ended`.
    """

    came = Signal(object)

    def __init__(self, wait_ms: int = 80, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job = Job(self)
        self._job.ended.connect(self._end)
        self._next: Work | None = None
        self._running = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(wait_ms)
        self._timer.timeout.connect(self._start)

    @property
    def busy(self) -> bool:
        """Whether there is anything asked for and not answered."""
        return self._running or self._next is not None

    def ask(self, work: Work) -> None:
        """Ask for `work` in place of what has not started yet."""
        self._next = work
        self._timer.start()

    def drop(self) -> None:
        """Forget what was asked for, and stop what is running."""
        self._next = None
        self._timer.stop()
        if self._running:
            self._job.cancel()

    def _start(self) -> None:
        if self._running or self._next is None:
            return
        work, self._next = self._next, None
        self._running = True
        self._job.start(work)

    def _end(self, ended: object) -> None:
        self._running = False
        if self._next is None:
            self.came.emit(ended)
        elif not self._timer.isActive():
            self._start()
