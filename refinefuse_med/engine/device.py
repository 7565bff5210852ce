"""The device that the network runs on, its memory, and what it says when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from refinefuse_med.errors import DeviceError, DeviceMemoryError, is_out_of_memory

__all__ = ["device_failures", "free_memory", "release_memory", "resolve_device"]

_FORKED: Final = "in forked subprocess"
_FAILURE_TEXTS: Final = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS", "CUDNN_STATUS")


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


@contextmanager
def device_failures(device: torch.device) -> Iterator[None]:
    """Turn the errors of a failing or full device into one clear line, and let others pass.

    Those of the machine's own memory, too, which is not the device's.

    Raises
    ------
    DeviceError
        The device failed, or cannot be used from this process.
    DeviceMemoryError
        Its memory is full.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if _FORKED in text:
            raise DeviceError(
                "a GPU cannot be used in a forked process",
                where=device,
                hint="use ThreadDataLoader or num_workers=0, or the device cpu",
            ) from error
        if is_out_of_memory(error):
            if device.type == "cpu":
                raise
            raise DeviceMemoryError(
                "its memory is full",
                where=device,
                hint="close what else uses it, or give --device cpu",
            ) from error
        if not _is_failure(error, text):
            raise
        raise DeviceError(
            f"the device failed ({text.splitlines()[0]})",
            where=device,
            hint="run again, or with --device cpu",
        ) from error


def _is_failure(error: RuntimeError, text: str) -> bool:
    # A name of its own since PyTorch 2.8.
    kind = getattr(torch, "AcceleratorError", ())
    return isinstance(error, kind) or any(part in text for part in _FAILURE_TEXTS)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a device has left for this process; None where it does not say.

    What others hold is not counted, so that several processes may share one GPU.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + cached)


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
