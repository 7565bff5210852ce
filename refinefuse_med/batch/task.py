"""What a worker does with one pair; imported by workers alone, with PyTorch and MONAI."""

from __future__ import annotations

import json
import os
import time
from functools import lru_cache
from pathlib import Path

import torch
from monai.data import MetaTensor

from refinefuse_med import registration
from refinefuse_med.batch.job import Job
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import Pair, Scan
from refinefuse_med.batch.thumbnail import write_thumbnail
from refinefuse_med.io import load_volume
from refinefuse_med.network import RefineFuse
from refinefuse_med.output import save_result
from refinefuse_med.pipeline import fuse_pair
from refinefuse_med.progress import Monitor
from refinefuse_med.registration import RegistrationResult
from refinefuse_med.volume import Keys, source_of

__all__ = ["fuse_pair_of", "register_pair_of"]


def register_pair_of(job: Job, monitor: Monitor) -> RegistrationResult:
    """Register the scans of a pair."""
    return registration.register(*_scans(job.pair, monitor), job.config.registration, monitor)


def fuse_pair_of(job: Job, known: RegistrationResult | None, monitor: Monitor) -> Outcome:
    """Fuse a pair, and leave its folder and its thumbnail in the work folder."""
    start = time.perf_counter()
    anatomical, functional = _scans(job.pair, monitor)
    model = _model(job.config.engine.model)
    result = fuse_pair(anatomical, functional, job.config, monitor, model, known)
    monitor.update("write", 0.0)
    # Stays hidden until the run moves it to its place, whole.
    folder = save_result(result, job.work / job.pair.name, job.output)
    # As written: cleaned, where that was asked for.
    record = json.loads((folder / "result.json").read_text("utf-8"))
    write_thumbnail(result, job.work / f"{job.pair.name}.jpg")
    return Outcome(
        job.pair.name,
        "done",
        verdict=result.registration.verdict,
        method=result.registration.method,
        warnings=tuple(record["warnings"]),
        seconds=round(time.perf_counter() - start, 3),
        registration_seconds=round(result.registration.seconds, 3),
        fusion_seconds=round(result.picture.run.seconds, 3),
    )


@lru_cache(maxsize=1)
def _model(path: Path | None) -> RefineFuse:
    """The network, loaded once a worker."""
    return RefineFuse.from_pretrained(path)


def _scans(pair: Pair, monitor: Monitor) -> tuple[MetaTensor, MetaTensor]:
    # Said in so many words: a worker may be forked from a process that had other threads.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    return _scan(pair.anatomical, monitor), _scan(pair.functional, monitor)


def _scan(scan: Scan, monitor: Monitor) -> MetaTensor:
    volume = load_volume(
        scan.path,
        series_uid=scan.series_uid,
        modality=scan.modality,
        allow_gaps=scan.allow_gaps,
        files=scan.files,
        monitor=monitor,
    )
    # Read by its own files, a series does not tell of those beside it.
    for warning in scan.beside:
        source = source_of(volume)
        if warning not in source.warnings:
            volume.meta[Keys.SOURCE] = source.with_warning(warning)
    return volume
