"""What a run will cost, told before it: memory, time, and the time that is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from refinefuse_napari import _texts as texts

if TYPE_CHECKING:
    from refinefuse_med.network import RefineFuse
    from refinefuse_napari._pair import Facts

__all__ = ["Eta", "Machine", "memory_needed", "memory_words", "time_words"]

BYTES_PER_FIXED_VOXEL: Final = 40
BYTES_PER_MOVING_VOXEL: Final = 8
"""Peak of a fusion in colour over what the process holds before it; measured at 128 to 288
voxels a side (`tests/napari/test_estimate.py` holds them against a run)."""

BASE_BYTES: Final = 6e8
"""What a run takes whatever its size: registration, the network's own working memory, and freed
memory that the engine keeps from slice to slice."""

_TRIAL_PIXELS: Final = 256
_TRIALS: Final = 5
_TRUSTED_FRACTION: Final = 0.03


class Machine(NamedTuple):
    """Where the network will run, and how fast it is there.

    Attributes
    ----------
    device : str
        Name of the device, or of the GPU.
    is_cpu : bool
    seconds_per_pixel : float
    """

    device: str
    is_cpu: bool
    seconds_per_pixel: float

    @classmethod
    def measure(cls, model: RefineFuse, device: str = "auto") -> Machine:
        """Fuse a picture for each thread a few times, and take the fastest."""
        import torch

        from refinefuse_med.config import EngineConfig
        from refinefuse_med.engine import Engine

        engine = Engine(model, EngineConfig(device=device))
        picture = torch.rand(torch.get_num_threads(), _TRIAL_PIXELS, _TRIAL_PIXELS)
        seconds = float("inf")
        # The first warms up, and a window that is drawn meanwhile slows down any of them.
        for _ in range(_TRIALS):
            started = perf_counter()
            engine.fuse_slices(picture, picture)
            seconds = min(seconds, perf_counter() - started)
        name = str(engine.device)
        if engine.device.type == "cuda":
            name = torch.cuda.get_device_name(engine.device)
        return cls(name, engine.device.type == "cpu", seconds / picture.numel())


def time_words(machine: Machine | None, voxels: int | None, planes: int = 1) -> str:
    """Where the network runs; without a GPU, how long that will take."""
    if machine is None:
        return texts.LOOKING
    if not machine.is_cpu:
        return texts.GPU.format(machine.device)
    if voxels is None:
        return texts.CPU
    seconds = machine.seconds_per_pixel * voxels * planes
    return texts.CPU_TIME.format(texts.duration(seconds))


def memory_needed(anatomical: Facts, functional: Facts) -> float:
    """Peak bytes of a fusion, about."""
    fixed, moving = anatomical.voxels, functional.voxels
    return BASE_BYTES + BYTES_PER_FIXED_VOXEL * fixed + BYTES_PER_MOVING_VOXEL * moving


def memory_words(needed: float) -> tuple[str, bool]:
    """What to say of the memory needed, and whether there is too little."""
    from psutil import virtual_memory

    free = virtual_memory().available
    short = needed > free
    text = texts.MEMORY_SHORT if short else texts.MEMORY
    return text.format(need=texts.size(needed), free=texts.size(free)), short


@dataclass
class Eta:
    """Time left of a stage, from its fraction done."""

    stage: str = ""
    fraction: float = 0.0
    started: float = field(default_factory=monotonic)

    def seconds_left(self, stage: str, fraction: float, now: float | None = None) -> float | None:
        """Seconds; None while nothing can be said."""
        now = monotonic() if now is None else now
        # A stage that goes back is begun again: the next of several scans.
        if stage != self.stage or fraction < self.fraction:
            self.stage, self.started = stage, now
        self.fraction = fraction
        if fraction < _TRUSTED_FRACTION or now - self.started < 1:
            return None
        return (now - self.started) * (1 - fraction) / fraction
