"""What is sent to a worker. Light: the run that hands jobs out loads neither PyTorch nor MONAI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import Pair
from refinefuse_med.config import FusionConfig, OutputConfig

if TYPE_CHECKING:
    from refinefuse_med.registration import RegistrationResult

__all__ = ["Job", "fuse_job", "register_job"]


@dataclass(frozen=True)
class Job:
    """A pair, how to fuse it, and where to write what comes of it.

    Attributes
    ----------
    pair : Pair
    config : FusionConfig
    output : OutputConfig
    work : Path
        Folder of the run: the result is written there as a folder of the pair's name. Once it
        is gone, so is the run, and the job gives up.
    timeout_s : float or None
        Most seconds for an attempt.
    topic : str
        Under which progress is told to the run; empty: not at all.
    """

    pair: Pair
    config: FusionConfig
    output: OutputConfig
    work: Path
    timeout_s: float | None = None
    topic: str = ""


def register_job(job: Job) -> RegistrationResult | Outcome:
    """Register the scans of a pair: the part of the work that wants no GPU."""
    from refinefuse_med.batch.task import register_pair_of

    return register_pair_of(job)


def fuse_job(job: Job, known: RegistrationResult | Outcome | None = None) -> Outcome:
    """Fuse a pair, and leave its folder and its thumbnail in the work folder."""
    from refinefuse_med.batch.task import fuse_pair_of

    return fuse_pair_of(job, known)
