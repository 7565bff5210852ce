"""A batch from its plan to its report: the one way in for the command line and for Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinefuse_med.batch.cluster import (
    Pool,
    Sizing,
    count_gpus,
    end_second_run,
    open_pool,
    size_pool,
)
from refinefuse_med.batch.journal import Journal, Shard, open_journal
from refinefuse_med.batch.outcome import BatchResult
from refinefuse_med.batch.plan import BatchPlan, Pair
from refinefuse_med.batch.report import Recorder, Reporter
from refinefuse_med.batch.run import run_pairs
from refinefuse_med.batch.watcher import Stop, Watcher
from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_med.errors import OutputError
from refinefuse_med.network import weights_info
from refinefuse_med.pseudonyms import Pseudonyms

__all__ = ["BatchOptions", "run_batch", "watch_folder"]


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run; nothing of it changes a result.

    Attributes
    ----------
    jobs : int or None
        Workers of this machine; None: as cores, memory and GPUs allow.
    scheduler : str or None
        Address of a Dask scheduler to use instead.
    shard : Shard
        Which part of the plan to do.
    timeout_s : float or None
        Most seconds for an attempt at a pair.
    identify : bool
        Whether the report may name patients.
    """

    jobs: int | None = None
    scheduler: str | None = None
    shard: Shard = dataclasses.field(default=Shard())
    timeout_s: float | None = None
    identify: bool = False


def run_batch(
    plan: BatchPlan,
    out: Path,
    config: FusionConfig,
    output: OutputConfig,
    options: BatchOptions | None = None,
    *,
    watchers: Sequence[Watcher] = (),
    stop: Stop | None = None,
) -> BatchResult:
    """Fuse the pairs of a plan into folders below `out`, and write the report.

    Where `out` holds the same run already, what is done there is kept.

    Raises
    ------
    ModelError, DeviceError
        Nothing could be fused at all.
    OutputError
        `out` cannot be written, holds other things, or another batch is at work on it.
    InputError, MissingExtraError
        The workers cannot be had.
    UsageError
        A script calls it outside ``if __name__ == "__main__"``, which workers run again.
    """
    with _opened(out, config, output, options or BatchOptions(), plan.pairs) as session:
        return session.run(plan, watchers, stop)


def watch_folder(
    plans: Iterable[BatchPlan],
    out: Path,
    config: FusionConfig,
    output: OutputConfig,
    options: BatchOptions | None = None,
    *,
    watchers: Sequence[Watcher] = (),
    stop: Stop | None = None,
) -> BatchResult:
    """Fuse the pairs of one plan after the other, as `plans_of_arrivals` yields them.

    A pair that failed is not tried again before one of its scans has changed. Otherwise as
    `run_batch`.
    """
    result = BatchResult(())
    with _opened(out, config, output, options or BatchOptions(), ()) as session:
        for plan in plans:
            result = session.run(plan, watchers, stop, retry=False)
            if result.stopped:
                break
    return result


@contextmanager
def _opened(
    out: Path,
    config: FusionConfig,
    output: OutputConfig,
    options: BatchOptions,
    pairs: Sequence[Pair],
) -> Iterator[_Session]:
    end_second_run()
    # What is done again replaces what it was, in an archive too.
    output = output.model_copy(update={"deterministic_uids": True})
    gpus = 0 if options.scheduler else count_gpus(config.engine.device)
    sizing = size_pool(pairs, options.jobs, gpus)
    redo = output.if_exists == "overwrite"
    settings = _settings(config, output)
    with (
        open_journal(out, settings, sizing.threads, options.shard, redo=redo) as journal,
        ExitStack() as stack,
    ):
        registration = config.registration.model_copy(update={"threads": journal.threads})
        config = config.model_copy(update={"registration": registration})
        sizing = dataclasses.replace(sizing, threads=journal.threads)
        yield _Session(journal, config, output, options, sizing, stack)


@dataclass
class _Session:
    journal: Journal
    config: FusionConfig
    output: OutputConfig
    options: BatchOptions
    sizing: Sizing
    stack: ExitStack
    pool: Pool | None = None

    def run(
        self,
        plan: BatchPlan,
        watchers: Sequence[Watcher],
        stop: Stop | None,
        *,
        retry: bool = True,
    ) -> BatchResult:
        pairs = [pair for pair in plan.pairs if self.options.shard.takes(pair)]
        reporter = Reporter(plan, self.journal, self.options.identify)
        settled = ("done",) if retry else ("done", "failed")
        todo = [pair for pair in pairs if self.journal.outcome_of(pair).status not in settled]
        result = BatchResult(())
        if todo:
            # Workers are started when there is something for them to do, and kept.
            self.pool = self.pool or self.stack.enter_context(
                open_pool(self.options.scheduler, self.sizing)
            )
            result = run_pairs(
                pairs if retry else todo,
                self.journal,
                self.config,
                self.output,
                self.pool,
                timeout_s=self.options.timeout_s,
                watchers=(*watchers, Recorder(reporter)),
                stop=stop,
            )
        try:
            reporter.write()
        except OutputError:
            if not result.stopped:  # else that is the reason, and it is told
                raise
        outcomes = tuple(self.journal.outcome_of(pair) for pair in pairs)
        return dataclasses.replace(result, outcomes=outcomes)


def _settings(config: FusionConfig, output: OutputConfig) -> dict[str, Any]:
    """Everything that a result depends on beside its images; names no path."""
    settings = config.model_dump(mode="json")
    del settings["registration"]["threads"]
    settings["engine"]["model"] = weights_info(config.engine.model).sha256
    settings["output"] = output.model_dump(mode="json", exclude={"if_exists", "key"})
    if output.deidentify:
        settings["output"]["key"] = Pseudonyms.from_file(output.key).of("which key this is")
    return settings
