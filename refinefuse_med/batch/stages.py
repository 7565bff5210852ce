"""What a worker is asked to do. Light: whoever hands it out loads neither PyTorch nor MONAI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinefuse_med.batch.guard import guarded
from refinefuse_med.batch.job import Job
from refinefuse_med.batch.outcome import Outcome

if TYPE_CHECKING:
    from refinefuse_med.progress import Monitor
    from refinefuse_med.registration import RegistrationResult

__all__ = ["fuse_job", "register_job"]


def register_job(job: Job) -> RegistrationResult | Outcome:
    """Register the scans of a pair: the part of the work that wants no GPU."""

    def work(monitor: Monitor) -> RegistrationResult:
        from refinefuse_med.batch.task import register_pair_of

        return register_pair_of(job, monitor)

    return guarded(job, "register", work)


def fuse_job(job: Job, known: RegistrationResult | Outcome | None = None) -> Outcome:
    """Fuse a pair, and leave its folder and its thumbnail in the work folder."""
    if isinstance(known, Outcome):
        return known

    def work(monitor: Monitor) -> Outcome:
        # Within the attempt: what kills a worker may well be an import.
        from refinefuse_med.batch.task import fuse_pair_of

        return fuse_pair_of(job, known, monitor)

    return guarded(job, "fuse", work)
