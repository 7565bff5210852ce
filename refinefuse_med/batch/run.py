"""Run a plan on workers: each pair by itself, so that one that fails costs only itself."""

from __future__ import annotations

import logging
import queue
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from refinefuse_med.batch.attempts import Attempts
from refinefuse_med.batch.cluster import CPU, GPU, Pool
from refinefuse_med.batch.job import STAGES, Job
from refinefuse_med.batch.journal import Journal
from refinefuse_med.batch.outcome import TO_BE_ALONE, BatchResult, Outcome
from refinefuse_med.batch.plan import Pair
from refinefuse_med.batch.stages import fuse_job, register_job
from refinefuse_med.batch.watcher import Stop, Watcher
from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_med.errors import OutputError

__all__ = ["run_pairs"]

MAX_LOSSES: Final = 10
"""How often Dask may blame a pair for lost workers although none was at work on it."""

_POLL_S: Final = 0.25

log = logging.getLogger(__name__)


@dataclass
class _Flight:
    job: Job
    parts: list[Any] = field(default_factory=list)
    losses: int = 0

    @property
    def pair(self) -> Pair:
        return self.job.pair

    @property
    def future(self) -> Any:
        return self.parts[-1]


def run_pairs(
    pairs: Iterable[Pair],
    journal: Journal,
    config: FusionConfig,
    output: OutputConfig,
    pool: Pool,
    *,
    timeout_s: float | None = None,
    watchers: Sequence[Watcher] = (),
    stop: Stop | None = None,
    fuse: Callable[..., Outcome] = fuse_job,
    register: Callable[[Job], Any] = register_job,
) -> BatchResult:
    """Fuse every pair that is not done, each into a folder of its own.

    A pair is begun when a worker is about to be free, so that no more volumes are in memory
    than workers need. One whose workers were killed for want of memory is put aside, and tried
    alone once no other is left. What a worker has written is moved to its place by this process
    alone.

    Parameters
    ----------
    pairs : iterable of Pair
    journal : Journal
    config, output : FusionConfig, OutputConfig
    pool : Pool
    timeout_s : float, optional
        Most seconds for an attempt at a pair.
    watchers : sequence of Watcher
    stop : Stop, optional
    fuse, register : callable
        What workers do with a `Job`; `register` only where others have the GPUs.

    Returns
    -------
    BatchResult
        An outcome for each of `pairs`.
    """
    run = _Run(
        list(pairs),
        journal,
        config,
        output,
        pool,
        timeout_s,
        watchers,
        stop or Stop(),
        fuse,
        register,
    )
    return run.to_the_end()


@dataclass
class _Run:
    pairs: list[Pair]
    journal: Journal
    config: FusionConfig
    output: OutputConfig
    pool: Pool
    timeout_s: float | None
    watchers: Sequence[Watcher]
    stop: Stop
    fuse: Callable[..., Outcome]
    register: Callable[[Job], Any]

    def __post_init__(self) -> None:
        # A worker writes into a folder of the run alone, over what an earlier attempt left.
        self.output = self.output.model_copy(update={"if_exists": "overwrite"})
        self.stopped = ""
        self.topic = f"refinefuse-{secrets.token_hex(4)}"
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.flying: dict[str, _Flight] = {}
        self.waiting = deque(pair for pair in self.pairs if not self.journal.is_done(pair))
        self.aside: deque[Job] = deque()

    def to_the_end(self) -> BatchResult:
        client = self.pool.client
        client.subscribe_topic(self.topic, lambda event: self.events.put(event[1]))
        for watcher in self.watchers:
            watcher.begin(len(self.pairs), len(self.pairs) - len(self.waiting), self.pool)
        try:
            while (self.waiting or self.flying or self.aside) and not self.stop.at_once:
                self._hand_out()
                self.stop.in_work = bool(self.flying)
                if not self.flying:
                    break
                self._await_some()
                self._hear()
                for watcher in self.watchers:
                    watcher.tick()
        finally:
            self.stop.in_work = False
            client.cancel([f for flight in self.flying.values() for f in flight.parts], force=True)
            client.unsubscribe_topic(self.topic)
        outcomes = tuple(self.journal.outcome_of(pair) for pair in self.pairs)
        return BatchResult(outcomes, self.stopped, self.stop.handing_out or self.stop.at_once)

    def _hand_out(self) -> None:
        if self.stop.handing_out or self.stopped:
            return
        if self.aside and not self.waiting and not self.flying:
            self._fly(replace(self.aside.popleft(), alone=True))
        if not self.waiting:
            return
        threads = sum(worker["nthreads"] for worker in self.pool.workers().values())
        # One more than can run, so that none waits for this process.
        while self.waiting and len(self.flying) <= max(1, threads):
            pair = self.waiting.popleft()
            try:
                self.journal.begin(pair)
            except OutputError as error:
                self._give_up(str(error))
                return
            job = Job(
                *(pair, self.config, self.output, self.journal.work, self.timeout_s, self.topic)
            )
            for attempts in self._attempts_at(pair):
                attempts.forget()
            self._fly(job)

    def _fly(self, job: Job) -> None:
        self.flying[job.pair.name] = _Flight(job)
        self._submit(self.flying[job.pair.name])

    def _attempts_at(self, pair: Pair) -> list[Attempts]:
        return [Attempts(self.journal.work, pair.name, stage) for stage in STAGES]

    def _submit(self, flight: _Flight) -> None:
        submit: Callable[..., Any] = self.pool.client.submit
        job, name = flight.job, f"{flight.pair.name}-{secrets.token_hex(4)}"
        resources = {kind for w in self.pool.workers().values() for kind in w["resources"]}
        if GPU not in resources:
            flight.parts = [submit(self.fuse, job, key=f"fuse-{name}", pure=False)]
            return
        # Registrations run ahead on the cores while the GPU fuses.
        known = submit(
            self.register,
            job,
            key=f"register-{name}",
            pure=False,
            resources={CPU: 1} if CPU in resources else None,
        )
        fused = submit(self.fuse, job, known, key=f"fuse-{name}", pure=False, resources={GPU: 1})
        flight.parts = [known, fused]

    def _await_some(self) -> None:
        from dask.distributed import TimeoutError as DaskTimeoutError
        from distributed import wait

        futures = [flight.future for flight in self.flying.values()]
        try:
            wait(futures, timeout=_POLL_S, return_when="FIRST_COMPLETED")
        except (TimeoutError, DaskTimeoutError):
            return
        for flight in [flight for flight in self.flying.values() if flight.future.done()]:
            self._take(flight)

    def _take(self, flight: _Flight) -> None:
        outcome = self._outcome_of(flight)
        # At once, and not when Python comes to it: a result that is still wanted is made anew when
        # the worker that holds it dies.
        for part in flight.parts:
            part.release()
        if outcome is None:
            self._submit(flight)
            return
        del self.flying[flight.pair.name]
        if outcome.status == "pending":
            if outcome.error == TO_BE_ALONE:
                self._put_aside(flight.job)
            return
        try:
            self.journal.end(flight.pair, outcome)
        except OutputError as error:
            self._give_up(str(error))
        if outcome.disk_full:
            self._give_up("the disk is full")
        for watcher in self.watchers:
            watcher.outcome(outcome)

    def _put_aside(self, job: Job) -> None:
        name = job.pair.name
        log.warning(
            "%s: its worker was killed, as for want of memory: it is tried alone at the end", name
        )
        self.aside.append(job)
        for watcher in self.watchers:
            watcher.stage(name, "waits for the others", 0.0)

    def _give_up(self, reason: str) -> None:
        """Begin no more: what hinders this pair would hinder all others."""
        self.stopped = self.stopped or reason
        self.waiting.clear()
        self.aside.clear()

    def _hear(self) -> None:
        while not self.events.empty():
            event = self.events.get()
            flight = self.flying.get(event["pair"])
            for watcher in self.watchers if flight else ():
                watcher.stage(event["pair"], event["stage"], event["fraction"])

    def _outcome_of(self, flight: _Flight) -> Outcome | None:
        """What became of a pair; None if it is to be handed out again."""
        from distributed import CancelledError, KilledWorker

        try:
            outcome = flight.future.result()
        except CancelledError:
            return Outcome(flight.pair.name, "pending")
        except KilledWorker:
            return self._loss(flight)
        except Exception as error:
            said = " ".join(str(error).split())
            return _failed(flight.pair, f"unexpected {type(error).__name__}: {said}")
        assert isinstance(outcome, Outcome)
        return outcome

    def _loss(self, flight: _Flight) -> Outcome | None:
        """Dask blames all that a lost worker had been given: see whether it was at work on this."""
        flight.losses += 1
        for attempts in self._attempts_at(flight.pair):
            if reason := attempts.exhausted():
                return _failed(flight.pair, reason)
        if flight.losses >= MAX_LOSSES:
            return _failed(flight.pair, "workers are lost before they can begin; see their log")
        return None


def _failed(pair: Pair, reason: str) -> Outcome:
    return Outcome(pair.name, "failed", error=reason, exit_status=1)
