"""Run a plan: each pair by itself, so that one that fails costs only itself."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from refinefuse_med import __version__
from refinefuse_med.batch.plan import BatchPlan, Pair
from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_med.errors import CancelledError, InputError, RefineFuseError
from refinefuse_med.io import AtomicFolder, atomic_file, load_volume, write_json
from refinefuse_med.network import RefineFuse
from refinefuse_med.output import save_result
from refinefuse_med.pipeline import fuse_pair
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["BatchResult", "PairResult", "run_plan"]

Status = Literal["done", "skipped", "failed"]

_COLUMNS: Final = ("name", "status", "verdict", "error", "exit_status", "seconds", "out")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairResult:
    """What became of one pair.

    Attributes
    ----------
    name : str
        Of the pair and its folder.
    status : {"done", "skipped", "failed"}
    verdict : str
        Of the registration; empty where there is none.
    error : str
        Why it failed, in one line.
    exit_status : int
        That ``refinefuse fuse`` would have ended with.
    seconds : float
    out : str
        The pair's folder, below that of the batch; empty if failed.
    """

    name: str
    status: Status
    verdict: str = ""
    error: str = ""
    exit_status: int = 0
    seconds: float = 0.0
    out: str = ""


@dataclass(frozen=True)
class BatchResult:
    """What became of a plan; as written to ``batch.json`` and ``batch.csv``."""

    pairs: tuple[PairResult, ...]

    @property
    def exit_status(self) -> int:
        """0 all done, 8 some, and where none is done: that of all, or 1 where they differ."""
        failed = [pair.exit_status for pair in self.pairs if pair.status == "failed"]
        if not failed:
            return 0
        if len(failed) < len(self.pairs):
            return 8
        return failed[0] if len(set(failed)) == 1 else 1


def run_plan(
    plan: BatchPlan,
    out: Path,
    config: FusionConfig,
    output: OutputConfig,
    monitor: Monitor = SILENT,
    on_pair: Callable[[PairResult], None] | None = None,
) -> BatchResult:
    """Fuse every pair of a plan into a folder of its own below `out`.

    The network is loaded once. The record is written anew after each pair, so that it tells
    the truth whenever the run is cut.

    Raises
    ------
    ModelError, DeviceError
        Nothing could be fused at all.
    OutputError
        `out` cannot be written.
    """
    model = RefineFuse.from_pretrained(config.engine.model)
    results: list[PairResult] = []
    for number, pair in enumerate(plan.pairs):
        monitor.update("pairs", number / len(plan.pairs))
        result = _run_pair(pair, out, config, output, monitor, model)
        results.append(result)
        _write_record(plan, results, out)
        if on_pair is not None:
            on_pair(result)
    monitor.update("pairs", 1.0)
    return BatchResult(tuple(results))


def _run_pair(
    pair: Pair,
    out: Path,
    config: FusionConfig,
    output: OutputConfig,
    monitor: Monitor,
    model: RefineFuse,
) -> PairResult:
    start = time.perf_counter()
    try:
        if not AtomicFolder(out / pair.name, output.if_exists).check():
            return PairResult(pair.name, "skipped", out=pair.name)
        anatomical, functional = (
            load_volume(scan.path, series_uid=scan.series_uid, modality=scan.modality)
            for scan in (pair.anatomical, pair.functional)
        )
        result = fuse_pair(anatomical, functional, config, monitor, model)
        save_result(result, out / pair.name, output)
    except CancelledError:
        raise
    except RefineFuseError as error:
        return _failed(pair, error, start)
    except Exception as error:
        log.debug("%s", pair.name, exc_info=True)
        said = " ".join(str(error).split())
        return _failed(pair, InputError(f"unexpected {type(error).__name__}: {said}"), start)
    return PairResult(
        pair.name,
        "done",
        verdict=result.registration.verdict,
        seconds=round(time.perf_counter() - start, 3),
        out=pair.name,
    )


def _failed(pair: Pair, error: RefineFuseError, start: float) -> PairResult:
    return PairResult(
        pair.name,
        "failed",
        error=str(error),
        exit_status=error.exit_status,
        seconds=round(time.perf_counter() - start, 3),
    )


def _write_record(plan: BatchPlan, results: list[PairResult], out: Path) -> None:
    record: dict[str, Any] = {
        "schema": 1,
        "version": __version__,
        "plan": plan.to_dict(),
        "pairs": [asdict(result) for result in results],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(record, out / "batch.json")
    with (
        atomic_file(out / "batch.csv") as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, fieldnames=_COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
