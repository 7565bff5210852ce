"""What a run tells whoever looks on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refinefuse_med.batch.cluster import Pool
    from refinefuse_med.batch.outcome import Outcome

__all__ = ["Stop", "Watcher"]


class Watcher:
    """Told of what happens in a run; this one does nothing of it."""

    def begin(self, total: int, done: int, pool: Pool) -> None:
        """The run begins: so many pairs, so many of them done before."""

    def stage(self, name: str, stage: str, fraction: float) -> None:
        """A worker is at `stage` with a pair."""

    def outcome(self, outcome: Outcome) -> None:
        """A pair has ended."""

    def tick(self) -> None:
        """Called several times a second."""


@dataclass
class Stop:
    """Whether to go on: set from a signal handler.

    Attributes
    ----------
    handing_out : bool
        Begin no more pairs.
    at_once : bool
        Drop those in work, too.
    in_work : bool
        Whether there are any; set by the run.
    """

    handing_out: bool = False
    at_once: bool = False
    in_work: bool = False
