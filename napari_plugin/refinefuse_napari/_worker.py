"""Work in other threads: one job at a time, and the newest of many small requests.

And work that has to be in the main thread, a piece at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Final

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from refinefuse_med.progress import Monitor
from refinefuse_napari._collector import Collector, collector

__all__ = ["Job", "Latest", "Turns", "Work"]

Work = Callable[[Monitor], Any]

_TICK_MS: Final = 200


class Job(QObject):
    """Runs work in a thread, and tells of it in the main thread.

    Not a worker of napari's: those change the warning filters of the whole process while
    they run, and connect a slot that fails to their errors (0.9.2).

    Signals
    -------
    progressed : str, float
        Stage and its fraction done: each new stage, and the fraction a few times a second.
    ended : object
        What the work gave back, or the exception that ended it.
    """

    progressed = Signal(str, float)
    ended = Signal(object)
    _done = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = stop = Event()
        self._stage = ""
        self._fraction: float | None = None
        self._ticks = QTimer(self)
        self._ticks.setInterval(_TICK_MS)
        self._ticks.timeout.connect(self._tick)
        self._done.connect(self._end)
        # A panel that is closed takes its work with it, and so does napari.
        self.destroyed.connect(lambda: stop.set())
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.cancel)

    def start(self, work: Work) -> Thread:
        """Start `work`; the job must have ended its last."""
        self._stop.clear()
        self._stage, self._fraction = "", None
        self._ticks.start()
        monitor = Monitor(on_progress=self._progress, is_cancelled=self._stop.is_set)
        collecting = collector()
        collecting.hold()
        thread = Thread(target=self._run, args=(work, monitor, collecting), name="refinefuse work")
        thread.start()
        return thread

    def cancel(self) -> None:
        """Ask the work to stop; it ends with a `CancelledError` at its next step."""
        self._stop.set()

    def _run(self, work: Work, monitor: Monitor, collecting: Collector) -> None:
        ended: object
        try:
            ended = work(monitor)
        except Exception as error:
            ended = error
        # Once the panel is closed there is nobody to tell.
        with suppress(RuntimeError):
            self._done.emit(ended)
        collecting.release()

    def _progress(self, stage: str, fraction: float) -> None:
        # A new stage is told at once, how far it is at the next tick: each telling is drawn, and
        # work that tells of every slice would leave the window no time for anything else.
        if stage == self._stage:
            self._fraction = fraction
            return
        self._stage, self._fraction = stage, None
        with suppress(RuntimeError):
            self.progressed.emit(stage, fraction)

    def _tick(self) -> None:
        fraction, self._fraction = self._fraction, None
        if fraction is not None:
            self.progressed.emit(self._stage, fraction)

    def _end(self, ended: object) -> None:
        self._ticks.stop()
        self.ended.emit(ended)


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


class Turns(QObject):
    """Takes steps in the main thread, the first at once; before each other one the window lives."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._steps: deque[Callable[[], None]] = deque()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next)

    def take(self, *steps: Callable[[], None]) -> None:
        """Take steps one after another, behind those that are still to be taken."""
        waiting = bool(self._steps)
        self._steps.extend(steps)
        if not waiting:
            self._next()

    def _next(self) -> None:
        step = self._steps.popleft()
        if self._steps:
            self._timer.start(0)
        else:
            self._timer.stop()
        step()
