"""A run on real worker processes whose pairs cost nothing, to be killed at will.

A module of its own, so that workers can import what they are to do.
"""

import ctypes
import os
import signal
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

from refinefuse_med.batch import attempts, cluster
from refinefuse_med.batch.cluster import Sizing
from refinefuse_med.batch.guard import guarded
from refinefuse_med.batch.journal import open_journal
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import Pair, Scan
from refinefuse_med.batch.run import run_pairs
from refinefuse_med.config import FusionConfig, OutputConfig

WORKERS = Sizing(cpu=2, gpu=0, threads=1, memory_bytes=0)
SETTINGS = {"plane": "axial"}


def pair(number, what="fine"):
    """A pair; `what` a worker does with it stands in place of its path."""
    side = Scan(Path(what), "1.2", "MR", (2, 2, 2), content=f"{number}")
    return Pair(f"MR-PT-{number:012x}", "someone", side, side, "")


def fuse(job, known=None):
    what = job.pair.anatomical.path.name
    if what == "dies before it begins":
        os.kill(os.getpid(), signal.SIGKILL)

    def work(monitor):
        with (job.work.parents[2] / f"tried-{job.pair.name}").open("a") as log:
            log.write("x")
        for _ in range(5):
            monitor.update("fuse", 0.5)
            time.sleep(0.1)
        if what == "raises":
            raise ValueError("no good: Doe^Jane" if known else "no good")
        if what == "crashes":
            os.abort()
        if what == "reads at address 0":
            ctypes.string_at(0)
        if what == "hangs":
            time.sleep(600)
        if what == "fills the memory":
            raise MemoryError
        if what == "wants more than its worker may take":
            bytearray(3 * 10**9)
        if what == "fills the disk":
            raise OSError(28, "No space left on device")
        if what in ("dies", "starves") or (what == "starves beside others" and not job.alone):
            os.kill(os.getpid(), signal.SIGKILL)
        folder = job.work / job.pair.name
        folder.mkdir(exist_ok=True)
        (folder / "result.json").write_text(job.pair.name)
        return Outcome(job.pair.name, "done", verdict="ok")

    # As if the kernel had ended one more process whenever it is asked.
    lacking = mock.patch.object(attempts, "_oom_kills", side_effect=time.time_ns)
    with lacking if what.startswith("starves") else nullcontext():
        return guarded(job, "fuse", work)


def where(job, known=None):
    """Stands for registration and fusion: tells in which order which worker did what."""
    from distributed import get_worker

    time.sleep(0.2)
    what = "register" if known is None else "fuse"
    resources = "+".join(get_worker().state.total_resources)
    with (job.work.parents[2] / "order").open("a") as log:
        log.write(f"{what} {resources}\n")
    if known is None:
        return "registered"
    (job.work / job.pair.name).mkdir()
    return Outcome(job.pair.name, "done", verdict=known)


def tries(out, one):
    return len((out / ".batch" / f"tried-{one.name}").read_text())


@contextmanager
def pool_of(sizing=WORKERS):
    """Workers whose scheduler gives a pair up at the first loss: that must not matter."""
    import dask
    import distributed  # noqa: F401  its own settings first

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster.open_pool(None, sizing) as pool,
    ):
        yield pool


def run(pairs, out, pool, **options):
    with open_journal(out, SETTINGS, 1) as journal:
        return run_with(journal, pairs, pool, **options)


def run_with(journal, pairs, pool, **options):
    options = {"fuse": fuse, **options}
    return run_pairs(pairs, journal, FusionConfig(), OutputConfig(), pool, **options)
