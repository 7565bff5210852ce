"""Progress and cancellation, told to long-running steps by one small object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from refinefuse_med.errors import CancelledError

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["SILENT", "Monitor", "run_filter"]

T = TypeVar("T")


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

    def watch(self, stage: str, items: Iterable[T], count: int) -> Iterator[T]:
        """Yield the `count` items, and report each of them as progress of `stage`."""
        for number, item in enumerate(items):
            self.update(stage, number / count)
            yield item

    def check(self) -> None:
        """Raise `CancelledError` where the user asked to stop."""
        if self.is_cancelled is not None and self.is_cancelled():
            raise CancelledError("stopped on request")


SILENT = Monitor()


def run_filter(
    process: sitk.ImageFilter, image: sitk.Image, monitor: Monitor = SILENT
) -> sitk.Image:
    """Run a SimpleITK filter, that stops where the user asks it to.

    Raises
    ------
    CancelledError
        The user asked to stop.
    """
    import SimpleITK as sitk

    stopped: list[CancelledError] = []

    def look() -> None:
        try:
            monitor.check()
        except CancelledError as error:
            stopped.append(error)
            process.Abort()

    process.AddCommand(sitk.sitkProgressEvent, look)
    try:
        result = process.Execute(image)
    except RuntimeError as error:
        if stopped:
            raise stopped[0] from error
        raise
    finally:
        process.RemoveAllCommands()
    if stopped:
        raise stopped[0]
    return result
