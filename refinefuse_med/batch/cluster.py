"""The workers of a batch: processes of this machine, or those of a Dask cluster that is there."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med import __version__
from refinefuse_med.errors import InputError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from distributed import Client

    from refinefuse_med.batch.plan import Pair

__all__ = ["GPU", "Pool", "Sizing", "end_second_run", "open_pool", "size_pool"]

GPU: Final = "GPU"
"""Name of the Dask resource that a worker with a GPU has, one for each."""
CPU: Final = "CPU"
"""Name of the resource of workers that leave the GPUs to others."""

_PRELOAD: Final = ["distributed", "refinefuse_med.batch.task"]
"""What workers are forked with."""

_STARTS: Final = 5
"""How often a worker may be lost in its first start, before the run is given up."""

_SECOND_RUN: Final = 88
"""Exit status of a worker that found itself running the user's script."""

_PATIENCE_S: Final = 10
"""How long to wait for the answer of a scheduler."""

_SHARE_OF_MEMORY: Final = 0.9
"""Part of the machine's memory that workers may fill together."""
USUAL_MB: Final = 2500
"""For pairs that are not known yet, or not estimated."""
_SLACK: Final = 1.5
"""How much more than estimated a pair may take before its worker is refused more."""

_DASK: Final[dict[str, Any]] = {
    # Volumes are no spare: a worker has what it needs, or the pair fails.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Refused by the system (`_limit_memory`), which raises an error, not killed by the nanny.
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "60s",
    # A nanny starts its worker again however long that takes; by default it is dismissed instead.
    "distributed.deploy.lost-worker-timeout": "365 days",
    # Nobody looks at what the workers' threads were doing a hundred times a second.
    "distributed.worker.profile.enabled": False,
    # A worker whose threads keep its heart from beating is busy, not dead.
    "distributed.scheduler.worker-ttl": None,
}


@dataclass(frozen=True)
class Sizing:
    """Workers of this machine.

    Attributes
    ----------
    cpu, gpu : int
        Workers without and with a GPU, one process each. With any of the latter, the
        former only register.
    threads : int
        Of each.
    memory_bytes : int
        That each may take; 0: no limit.
    """

    cpu: int
    gpu: int
    threads: int
    memory_bytes: int


def size_pool(
    pairs: Sequence[Pair], jobs: int | None, gpus: int, threads: int | None = None
) -> Sizing:
    """Size workers to cores, memory and GPUs.

    As many workers as there are cores, pairs, and times the largest pair fits into memory; the
    cores are shared out as threads. `jobs` and `threads` overrule, and OMP_NUM_THREADS where there
    are no `threads`. Without pairs, or estimates of any: for usual ones.
    """
    _require_dask()
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    known = max((pair.estimate.memory_mb for pair in pairs), default=0)
    largest = (known or USUAL_MB) * 10**6
    fitting = max(1, int(MEMORY_LIMIT * _SHARE_OF_MEMORY) // largest)
    cpu = jobs or max(1, min(CPU_COUNT, len(pairs) or CPU_COUNT, fitting))
    share = int(MEMORY_LIMIT * _SHARE_OF_MEMORY) // cpu
    enough = int(min(MEMORY_LIMIT * _SHARE_OF_MEMORY, largest * _SLACK))
    return Sizing(
        cpu=cpu,
        gpu=gpus,
        threads=threads or _wanted_threads() or max(1, CPU_COUNT // cpu),
        memory_bytes=max(share, enough),
    )


def _wanted_threads() -> int:
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() else 0


def _require_dask() -> None:
    if find_spec("distributed") is None:
        raise MissingExtraError("the batch needs Dask", hint="pip install 'refinefuse-med[batch]'")


@dataclass(frozen=True)
class Pool:
    """Workers at hand, by the Dask client that speaks to them."""

    client: Client

    def workers(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of each worker, by address."""
        found: dict[str, dict[str, Any]] = self.client.scheduler_info()["workers"]
        return found

    @property
    def dashboard(self) -> str:
        """Address of Dask's own pages."""
        return str(self.client.dashboard_link)


@contextmanager
def open_pool(scheduler: str | None, sizing: Sizing) -> Iterator[Pool]:
    """Start workers on this machine, or connect to those of a scheduler.

    Raises
    ------
    MissingExtraError
        Dask is not installed.
    InputError
        No scheduler answers at the address, or its workers have another version.
    UsageError
        A script calls the batch outside ``if __name__ == "__main__"``.
    """
    _require_dask()
    import dask
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # All of it: Dask's own would have malloc give back every block at once, and registration,
    # which takes and leaves many, spend its time in the kernel.
    settings = {
        **_DASK,
        "distributed.nanny.pre-spawn-environ": _environ(sizing),
        "distributed.worker.multiprocessing-method": "spawn",
    }
    if _can_fork(sizing):
        settings["distributed.worker.multiprocessing-method"] = "forkserver"
    with dask.config.set(settings):
        if scheduler is None:
            with _local_cluster(sizing) as cluster, Client(cluster) as client:
                client.register_plugin(_guard(sizing))
                yield Pool(client)
            return
        try:
            client = Client(scheduler, timeout=_PATIENCE_S)
        except (OSError, ValueError) as error:
            raise InputError(
                "no Dask scheduler answers", where=scheduler, hint="start one with: dask scheduler"
            ) from error
        with client:
            _refuse_other_versions(client, scheduler)
            yield Pool(client)


def end_second_run() -> None:
    """End a worker that Python has begin by running the user's script once more.

    multiprocessing does so to have what the script defines. What calls a batch again there stands
    outside ``if __name__ == "__main__"``; `open_pool` says so, once, in the process that was asked.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False) and process.name.startswith("Dask Worker"):
        os._exit(_SECOND_RUN)


_THREADS: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def _environ(sizing: Sizing) -> dict[str, str]:
    return {name: str(sizing.threads) for name in _THREADS}


def _can_fork(sizing: Sizing) -> bool:
    """Whether workers can be forked from a process that has imported PyTorch and MONAI.

    That takes most of the start of a worker, and is then done once for all of them, and not again
    for one that takes the place of another. CUDA does not stand being forked.
    """
    return sys.platform == "linux" and not sizing.gpu


def _local_cluster(sizing: Sizing) -> Any:
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.utils import get_mp_context

    ends: list[int] = []

    class PatientNanny(Nanny):
        """Starts its worker again also where that is killed while it starts for the first time."""

        async def instantiate(self) -> Any:
            for _ in range(_STARTS):
                status = await super().instantiate()
                if status.name != "stopped" or self.status.name not in ("init", "starting"):
                    break
                if _SECOND_RUN in ends:
                    break
            return status

        def _on_worker_exit_sync(self, exitcode: int) -> None:
            ends.append(exitcode)
            super()._on_worker_exit_sync(exitcode)

    common = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": sizing.memory_bytes,
        "silence_logs": logging.CRITICAL,
        "env": _environ(sizing),
    }
    if _can_fork(sizing):
        get_mp_context()  # preloads Dask alone
        multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOAD)
    specs: dict[Any, dict[str, Any]] = {}
    for number in range(sizing.cpu):
        specs[f"cpu-{number}"] = {
            "cls": PatientNanny,
            "options": {**common, "resources": {CPU: 1} if sizing.gpu else {}},
        }
    for number in range(sizing.gpu):
        specs[f"gpu-{number}"] = {
            "cls": PatientNanny,
            "options": {
                **common,
                "resources": {GPU: 1},
                "env": {**_environ(sizing), "CUDA_VISIBLE_DEVICES": str(number)},
            },
        }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
    }
    try:
        return SpecCluster(workers=specs, scheduler=scheduler, silence_logs=logging.CRITICAL)
    except RuntimeError:
        if _SECOND_RUN not in ends:
            raise
        raise UsageError(
            "the batch is called where a script is run again by each of its worker processes",
            where=getattr(sys.modules["__main__"], "__file__", None),
            hint='call it below: if __name__ == "__main__":',
        ) from None


def _guard(sizing: Sizing) -> Any:
    from distributed import WorkerPlugin

    class Guard(WorkerPlugin):
        """Leave Ctrl-C to the run; make too large an allocation an error, not a death."""

        name = "refinefuse-guard"

        def setup(self, worker: Any) -> None:
            import signal
            import threading

            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            if sizing.memory_bytes and GPU not in worker.state.total_resources:
                _limit_memory(sizing.memory_bytes)

    return Guard()


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _refuse_other_versions(client: Any, scheduler: str) -> None:
    versions = set(client.run(_version).values()) - {__version__}
    if versions:
        raise InputError(
            f"workers have refinefuse-med {', '.join(sorted(versions))}, not {__version__}",
            where=scheduler,
            hint="install the same version on all machines",
        )


def _version() -> str:
    return __version__


def count_gpus(device: str) -> int:
    """GPUs of this machine that a device name stands for."""
    if device == "cpu" or not os.path.exists("/dev/nvidiactl"):
        return 0
    import torch

    return torch.cuda.device_count() if device in ("auto", "cuda") else 1
