"""A network for pictures, run over stacks of slices in batches that fit into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch

from refinefuse_med.engine.device import free_memory, is_out_of_memory, release_memory
from refinefuse_med.engine.precision import (
    HALF_DEVICES,
    HALF_TOLERANCE,
    Results,
    largest_difference,
    probe_of,
)
from refinefuse_med.engine.transfer import Brought, Sent, Transfers
from refinefuse_med.errors import DeviceError

if TYPE_CHECKING:
    from refinefuse_med.config import Precision
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.progress import Monitor

__all__ = ["SliceRunner", "Stack"]

_PIXELS_AT_ONCE: Final = {"cpu": 2**16, "mps": 2**20, "cuda": 2**22}
"""Pixels of a batch by device, where the user does not say. On a CPU one slice of 256 x 256: more
is no faster, and takes more memory (docs/performance.md)."""

_BYTES_A_PIXEL: Final = 800
"""Memory that the network takes for a pixel of a batch in float32, at its peak: 702 counted."""

_MEMORY_SHARE: Final = 0.5
"""Part of the free memory that a batch may take: others may want some, too."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one size, and where their results go.

    Attributes
    ----------
    sources : torch.Tensor
        Shape (2, N, H, W), in [0, 1]: anatomical and functional.
    fused, contribution : torch.Tensor
        Shape (N, H, W) and (2, N, H, W), on the device of `sources`: results are added to them.
    wanted : torch.Tensor
        Shape (N,), bool, on the CPU: the slices to run.
    share : float
        Weight of the results.
    """

    sources: torch.Tensor
    fused: torch.Tensor
    contribution: torch.Tensor
    wanted: torch.Tensor
    share: float = 1.0

    def add(self, batch: torch.Tensor, results: Results) -> None:
        """Add the results of the slices `batch`."""
        fused, parts = results
        self.fused[batch] += self.share * fused
        self.contribution[:, batch] += self.share * parts


@dataclass
class SliceRunner:
    """Runs stacks through a network, and remembers what it took.

    Attributes
    ----------
    model : RefineFuse
        In evaluation mode, on `device`.
    device : torch.device
    batch_size : int
        Slices at a time; 0: chosen from their size and from the free memory.
    precision : {"auto", "float32", "float16"}
        ``auto``: float16 where the device is fast in it.
    half : bool
        Whether float16 was used: asked for or fast, and exact enough on these slices.
    smallest_batch : int
        The batch size that was used, the smallest one if there were several.
    warnings : list of str
    """

    model: RefineFuse
    device: torch.device
    batch_size: int = 0
    precision: Precision = "auto"
    half: bool = False
    smallest_batch: int = 0
    warnings: list[str] = field(default_factory=list)

    def run(self, stacks: Sequence[Stack], monitor: Monitor) -> int:
        """Fuse the wanted slices of each stack, and return how many there were.

        Raises
        ------
        DeviceError
            Not even one slice fits into the device's memory.
        CancelledError
            The user asked to stop.
        """
        total = sum(int(stack.wanted.sum()) for stack in stacks)
        done = 0
        monitor.update("fuse", 0.0)
        if total:
            self.half = self._half_will_do(stacks)
        for stack in stacks:
            # A batch is added after the next one was started: the device never waits for us.
            held: tuple[torch.Tensor, Brought] | None = None
            for batch, brought in self._batches(stack):
                if held is not None:
                    stack.add(held[0], held[1].wait())
                held = batch, brought
                done += len(batch)
                monitor.update("fuse", done / total)
            if held is not None:
                stack.add(held[0], held[1].wait())
        monitor.update("fuse", 1.0)
        return total

    def _batches(self, stack: Stack) -> Iterator[tuple[torch.Tensor, Brought]]:
        transfers = Transfers(self.device, stack.sources.device)
        wanted = stack.wanted.nonzero()[:, 0].to(stack.sources.device)
        size = self.batch_size or self._slices_at_once(stack.sources[0, 0].numel())
        queue = deque(wanted.split(size)) if len(wanted) else deque()
        sent: Sent | None = None
        ahead: Sent | None = None
        while queue:
            try:
                sent = ahead or transfers.send(stack.sources, queue[0])
                ahead = transfers.send(stack.sources, queue[1]) if len(queue) > 1 else None
                brought = transfers.bring(*self._forward(transfers.receive(sent), self.half))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = self._smaller(len(queue[0]), stack.sources.shape[-2:], error)
            else:
                self.smallest_batch = min(self.smallest_batch or size, size)
                yield queue.popleft(), brought
                continue
            # Only here has the failed attempt let go of its tensors.
            sent = ahead = None
            queue = deque(torch.cat(list(queue)).split(size))
            release_memory(self.device)

    def _forward(self, sources: torch.Tensor, half: bool) -> Results:
        anatomical, functional = sources.unsqueeze(2)
        kind = self.device.type
        # Without TF32, which keeps 10 bits of the mantissa, a GPU gives what the CPU gives.
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            torch.autocast(kind, torch.float16) if half else nullcontext(),
        ):
            fused, parts = self.model.with_contribution(anatomical, functional)
        return fused[:, 0], parts.transpose(0, 1)

    def _half_will_do(self, stacks: Sequence[Stack]) -> bool:
        asked = self.precision == "float16"
        if self.precision == "float32" or self.device.type not in HALF_DEVICES:
            if asked:
                raise DeviceError("float16 is not run here", where=self.device, hint="use float32")
            return False
        stack = next(stack for stack in stacks if bool(stack.wanted.any()))
        probe = probe_of(stack.wanted).to(stack.sources.device)
        apart = largest_difference(
            lambda x: self._forward(x, False),
            lambda x: self._forward(x, True),
            stack.sources[:, probe].to(self.device),
        )
        if apart < HALF_TOLERANCE:
            return True
        self.warnings.append(
            f"half precision is off by {255 * apart:.2g} of 255 grey values on {self.device}: "
            "went on in float32"
        )
        return False

    def _slices_at_once(self, pixels: int) -> int:
        most = _PIXELS_AT_ONCE[self.device.type] // pixels
        free = free_memory(self.device)
        if free is not None:
            most = min(most, int(_MEMORY_SHARE * free) // (_BYTES_A_PIXEL * pixels))
        return max(1, most)

    def _smaller(self, failed: int, shape: torch.Size, error: BaseException) -> int:
        if failed == 1:
            raise DeviceError(
                f"a single slice of {shape[0]} x {shape[1]} does not fit into its memory",
                where=self.device,
                hint="use another --device, or a coarser grid",
            ) from error
        size = failed // 2
        self.warnings.append(
            f"memory of {self.device} too small for {failed} slices at a time: went on with {size}"
        )
        return size
