"""Slices to the device and results back, beside the computing where the device allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Brought", "Sent", "Transfers", "synchronise", "to_device", "to_place"]


@dataclass(frozen=True, eq=False)
class Sent:
    """Slices on their way to the device.

    Attributes
    ----------
    tensor : torch.Tensor
        On the device.
    held : torch.Tensor
        What it is copied from, which must live as long.
    event : Any
        Passed once they have arrived; None where they have.
    """

    tensor: torch.Tensor
    held: torch.Tensor
    event: Any = None


@dataclass(frozen=True, eq=False)
class Brought:
    """Results on their way back.

    Attributes
    ----------
    tensors : tuple of torch.Tensor
        Where the stack lies; to be read after `wait`.
    held : tuple of torch.Tensor
        What they are copied from, which must live as long.
    event : Any
        Passed once they have arrived; None where they have.
    """

    tensors: tuple[torch.Tensor, torch.Tensor]
    held: tuple[torch.Tensor, torch.Tensor]
    event: Any = None

    def wait(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the results, once they are there."""
        if self.event is not None:
            self.event.synchronize()
        return self.tensors


class Transfers:
    """Moves batches between where a stack lies and the device.

    A stack that already lies on the device is only indexed. One on the host is sent to a GPU
    from pinned memory on a stream of its own, and results come back on another, so that the
    next batch is copied, and the last one too, while a batch is computed.

    Parameters
    ----------
    device : torch.device
        Where the network is.
    home : torch.device
        Where the stack is.
    overlap : bool, optional
        Whether to use streams; by default for a GPU and a stack on the host.
    """

    def __init__(
        self, device: torch.device, home: torch.device, overlap: bool | None = None
    ) -> None:
        self.device = device
        self.home = home
        self.overlap = device.type == "cuda" and home.type == "cpu" if overlap is None else overlap
        if self.overlap:
            self._lib: Any = torch.get_device_module(device)
            place = {"device": device} if device.type == "cuda" else {}
            self._up, self._down = self._lib.Stream(**place), self._lib.Stream(**place)

    def send(self, sources: Sequence[torch.Tensor], batch: torch.Tensor) -> Sent:
        """Start to move the slices `batch` of sources (N, H, W), all of them in one tensor."""
        if not self.overlap:
            slices = torch.stack([source[batch] for source in sources])
            return Sent(slices.to(self.device), slices)
        shape = len(sources), len(batch), *sources[0].shape[1:]
        staged = _host_buffer(shape, sources[0].dtype, self.device)
        for source, place in zip(sources, staged, strict=True):
            torch.index_select(source, 0, batch, out=place)
        with self._lib.stream(self._up):
            tensor = staged.to(self.device, non_blocking=True)
        return Sent(tensor, staged, self._mark(self._up))

    def receive(self, sent: Sent) -> torch.Tensor:
        """Let the computing wait for slices that were sent, and give them."""
        if sent.event is not None:
            sent.event.wait(self._lib.current_stream(self.device))
        return sent.tensor

    def bring(self, fused: torch.Tensor, parts: torch.Tensor) -> Brought:
        """Start to move results back."""
        held = fused, parts
        if not self.overlap:
            return Brought((fused.to(self.home), parts.to(self.home)), held)
        self._down.wait_stream(self._lib.current_stream(self.device))
        with self._lib.stream(self._down):
            tensors = self._to_buffer(fused), self._to_buffer(parts)
        return Brought(tensors, held, self._mark(self._down))

    def _to_buffer(self, result: torch.Tensor) -> torch.Tensor:
        buffer = _host_buffer(tuple(result.shape), result.dtype, self.device)
        return buffer.copy_(result, non_blocking=True)

    def _mark(self, stream: Any) -> Any:
        event = self._lib.Event()
        event.record(stream)
        return event


def to_device(volume: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A volume on the device, sent from pinned memory where that helps."""
    if device.type == "cuda" and volume.device.type == "cpu":
        return volume.pin_memory().to(device, non_blocking=True)
    return volume.to(device)


def to_place(place: torch.device, *volumes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Volumes at a place; all are under way before the first is waited for."""
    device = volumes[0].device
    if device.type != "cuda" or place.type != "cpu":
        return tuple(volume.to(place) for volume in volumes)
    hosts = tuple(
        _host_buffer(tuple(v.shape), v.dtype, device).copy_(v, non_blocking=True) for v in volumes
    )
    synchronise(device)
    return hosts


def synchronise(device: torch.device) -> None:
    """Wait for all that a GPU was told to do, and meet its errors here."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _host_buffer(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    # PyTorch keeps pinned memory that is given back, so a buffer costs its pinning once.
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
