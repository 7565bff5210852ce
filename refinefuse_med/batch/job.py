"""What is sent to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from refinefuse_med.batch.plan import Pair
from refinefuse_med.config import FusionConfig, OutputConfig

__all__ = ["STAGES", "Job", "Stage"]

Stage = Literal["register", "fuse"]
STAGES: Final[tuple[Stage, ...]] = ("register", "fuse")


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
    alone : bool
        Whether no other pair is at work.
    """

    pair: Pair
    config: FusionConfig
    output: OutputConfig
    work: Path
    timeout_s: float | None = None
    topic: str = ""
    alone: bool = False
