"""What became of the pairs of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["TO_BE_ALONE", "BatchResult", "Outcome", "Status"]

Status = Literal["done", "failed", "pending"]

INTERRUPTED: Final = 130
"""Exit status of what Ctrl-C has ended, as shells have it."""


TO_BE_ALONE: Final = "to be tried alone"
"""Error of a pending pair that is left for when no other pair is at work."""


@dataclass(frozen=True)
class Outcome:
    """What became of one pair.

    Attributes
    ----------
    name : str
        Of the pair and its folder.
    status : {"done", "failed", "pending"}
    verdict : str
        Of the registration; empty where there is none.
    method : str
        Of the registration.
    error : str
        Why it failed, in one line; it names no patient.
    exit_status : int
        That ``refinefuse fuse`` would have ended with.
    warnings : tuple of str
        Those of ``result.json``.
    seconds : float
        From the first byte read to the last one written.
    registration_seconds, fusion_seconds : float
        Those of ``result.json``.
    disk_full : bool
        Whether it failed for want of space, as all others would.
    """

    name: str
    status: Status
    verdict: str = ""
    method: str = ""
    error: str = ""
    exit_status: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    registration_seconds: float = 0.0
    fusion_seconds: float = 0.0
    disk_full: bool = False

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Outcome:
        """An outcome as the journal holds it."""
        known = {key: record[key] for key in cls.__dataclass_fields__ if key in record}
        return cls(**{**known, "warnings": tuple(known.get("warnings", ()))})


@dataclass(frozen=True)
class BatchResult:
    """What became of a plan, or of the shard of it that was run.

    Attributes
    ----------
    outcomes : tuple of Outcome
        In the order of the plan.
    stopped : str
        Why the run ended before its end; empty if it did not.
    interrupted : bool
        Whether the user ended it.
    """

    outcomes: tuple[Outcome, ...]
    stopped: str = ""
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """0 all done, 8 some, and where none is done: that of all, or 1 where they differ."""
        if self.interrupted:
            return INTERRUPTED
        missing = [
            outcome.exit_status or 1 for outcome in self.outcomes if outcome.status != "done"
        ]
        if not missing:
            return 0
        if len(missing) < len(self.outcomes):
            return 8
        return missing[0] if len(set(missing)) == 1 else 1
