"""Progress and cancellation, told to long-running steps by one small object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refinefuse_med.errors import CancelledError

__all__ = ["SILENT", "Monitor"]


@dataclass(frozen=True)
class Monitor:
    """What a step reports to, and asks whether to go on.

    Parameters
    ----------
    on_progress : callable, optional
        Called as ``on_progress(stage, fraction)``; ``fraction`` is in [0, 1].
    is_cancelled : callable, optional
        Returns True once the user wants to stop.
    """

    on_progress: Callable[[str, float], None] | None = None
    is_cancelled: Callable[[], bool] | None = None

    def update(self, stage: str, fraction: float) -> None:
        """Report progress of `stage`; raise `CancelledError` where the user asked to stop."""
        self.check()
        if self.on_progress is not None:
            self.on_progress(stage, min(max(fraction, 0.0), 1.0))

    def check(self) -> None:
        """Raise `CancelledError` where the user asked to stop."""
        if self.is_cancelled is not None and self.is_cancelled():
            raise CancelledError("stopped on request")


SILENT = Monitor()
