"""One piece of work at a time in another thread, with progress and cancellation."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Signal

from refinefuse_med.progress import Monitor
from refinefuse_napari._controller import Outcome

__all__ = ["Job", "Work"]

Work = Callable[[Monitor], Outcome]


class _Ended:
    """How a piece of work ended.

    Errors travel to the main thread in here and not by the worker's own ``errored`` signal,
    to which napari 0.9.2 connects a slot that fails.
    """

    def __init__(self, outcome: Outcome | Exception) -> None:
        self.outcome = outcome


def _run(work: Work, monitor: Monitor) -> _Ended:
    try:
        return _Ended(work(monitor))
    except Exception as error:
        return _Ended(error)


class Job(QObject):
    """Runs work in a napari thread worker, and tells of it in the main thread.

    Signals
    -------
    progressed : str, float
        Stage and its fraction done.
    ended : Outcome or Exception
    """

    progressed = Signal(str, float)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = stop = Event()
        # A panel that is closed takes its work with it.
        self.destroyed.connect(lambda: stop.set())

    def start(self, work: Work) -> FunctionWorker:
        """Start `work`; the job must have ended its last."""
        self._stop.clear()
        stop = self._stop
        monitor = Monitor(
            on_progress=self.progressed.emit,
            # napari aborts all workers when it quits.
            is_cancelled=lambda: stop.is_set() or worker.abort_requested,
        )
        worker = create_worker(_run, work, monitor, _start_thread=False)
        worker.returned.connect(self._tell)
        worker.start()
        return worker

    def cancel(self) -> None:
        """Ask the work to stop; it ends with a `CancelledError` at its next step."""
        self._stop.set()

    def _tell(self, ended: _Ended) -> None:
        self.ended.emit(ended.outcome)
