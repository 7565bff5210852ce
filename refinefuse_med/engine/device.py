"""The device that the network runs on, and what it says when its memory is full."""

from __future__ import annotations

from typing import Final

import torch

from refinefuse_med.errors import DeviceError

__all__ = ["is_out_of_memory", "release_memory", "resolve_device"]

_MEMORY_TEXTS: Final = (
    "out of memory",  # CUDA libraries, MPS
    "not enough memory",  # DefaultCPUAllocator on Windows and macOS
    "can't allocate memory",  # DefaultCPUAllocator on Linux
)


def resolve_device(name: str = "auto") -> torch.device:
    """The device of this name; for ``auto`` the best there is: CUDA, else MPS, else the CPU.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    DeviceError
        This machine does not have it. A device asked for by name is never replaced by
        another one.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    present = _present()
    if name == "auto":
        return torch.device(present[0])
    # A bare "cuda" is its first device, so that records name the one that was used.
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in present:
        raise DeviceError(
            f"this machine has no device {name!r}", hint=f"use one of {', '.join(present)}, auto"
        )
    return torch.device(wanted)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch says that memory is full, be it the GPU's or the CPU's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(t in str(error) for t in _MEMORY_TEXTS)


def release_memory(device: torch.device) -> None:
    """Give cached memory back to the device, so that a smaller request may fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _present() -> list[str]:
    """Names of the devices of this machine, the best one first."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [f"cuda:{n}" for n in range(count)] + mps + ["cpu"]
