"""A network for pictures, run over stacks of slices in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch

from refinefuse_med.engine.device import is_out_of_memory, release_memory
from refinefuse_med.errors import DeviceError

if TYPE_CHECKING:
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.progress import Monitor

__all__ = ["SliceRunner", "Stack"]

_PIXELS_AT_ONCE: Final = {"cpu": 2**18, "mps": 2**20, "cuda": 2**22}
"""Pixels of a batch by device, where the user does not say; more costs memory for no speed."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one size, and where their results go.

    Attributes
    ----------
    sources : torch.Tensor
        Shape (2, N, H, W), in [0, 1]: anatomical and functional.
    fused, contribution : torch.Tensor
        Shape (N, H, W) and (2, N, H, W): results are added to them.
    wanted : torch.Tensor
        Shape (N,), bool: the slices to run.
    share : float
        Weight of the results.
    """

    sources: torch.Tensor
    fused: torch.Tensor
    contribution: torch.Tensor
    wanted: torch.Tensor
    share: float = 1.0


@dataclass
class SliceRunner:
    """Runs stacks through a network, and remembers what it took.

    Attributes
    ----------
    model : RefineFuse
        In evaluation mode, on `device`.
    device : torch.device
    batch_size : int
        Slices at a time; 0: chosen from their size.
    smallest_batch : int
        The batch size that was used, the smallest one if there were several.
    warnings : list of str
    """

    model: RefineFuse
    device: torch.device
    batch_size: int = 0
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
        for stack in stacks:
            for batch, fused, parts in self._batches(stack):
                stack.fused[batch] += stack.share * fused
                stack.contribution[:, batch] += stack.share * parts
                done += len(batch)
                monitor.update("fuse", done / total)
        monitor.update("fuse", 1.0)
        return total

    def _batches(self, stack: Stack) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        pending = stack.wanted.nonzero()[:, 0]
        size = self.batch_size or max(1, self._pixels_at_once() // stack.sources[0, 0].numel())
        while len(pending):
            batch = pending[:size]
            try:
                fused, parts = self._forward(stack.sources[:, batch])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = self._smaller(len(batch), stack.sources.shape[-2:], error)
            else:
                pending = pending[size:]
                self.smallest_batch = min(self.smallest_batch or size, size)
                yield batch, fused, parts
                continue
            # Only here has the failed attempt let go of its tensors.
            release_memory(self.device)

    def _forward(self, sources: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        anatomical, functional = sources.to(self.device).unsqueeze(2)
        # Without TF32, which keeps 10 bits of the mantissa, a GPU gives what the CPU gives.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            fused, parts = self.model.with_contribution(anatomical, functional)
        return fused[:, 0].cpu(), parts.transpose(0, 1).cpu()

    def _pixels_at_once(self) -> int:
        return _PIXELS_AT_ONCE[self.device.type]

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
