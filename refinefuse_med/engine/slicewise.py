"""A network for pictures, run over stacks of slices in batches that fit into memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import torch

from refinefuse_med.engine.device import free_memory, release_memory
from refinefuse_med.engine.local_contrast import mix_local_contrast
from refinefuse_med.engine.planes import AS_THEY_ARE, SliceView
from refinefuse_med.engine.precision import (
    HALF_DEVICES,
    HALF_TOLERANCE,
    Results,
    largest_difference,
    probe_of,
)
from refinefuse_med.engine.threads import lanes
from refinefuse_med.engine.transfer import Brought, Sent, Transfers
from refinefuse_med.errors import DeviceError, DeviceMemoryError, is_out_of_memory

if TYPE_CHECKING:
    from refinefuse_med.config import Precision
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.progress import Monitor

__all__ = ["SliceRunner", "Stack"]

_PIXELS_AT_ONCE: Final = {"cpu": 2**16, "mps": 2**20, "cuda": 2**22}
"""Pixels of a batch by device, where the user does not say. On a CPU one slice of 256 x 256: more
is no faster, and takes more memory (docs/performance.md)."""

_BYTES_A_PIXEL: Final = 800
"""Memory that the network takes for a pixel of a batch in float32, at its peak: 639 counted."""

_PIXELS_SIDE_BY_SIDE: Final = 2**21
"""Pixels that all threads of a CPU may have at work together: 1.5 GB."""

_MEMORY_SHARE: Final = 0.5
"""Part of the free memory that a batch may take: others may want some, too."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one size, and where their results go.

    Attributes
    ----------
    sources : tuple of two torch.Tensor
        Shape (N, H, W) each, in [0, 1]: anatomical and functional.
    fused, contribution : torch.Tensor
        Shape (N, H, W) and (2, N, H, W), on the device of `sources`: results are added to them.
    wanted : torch.Tensor
        Shape (N,), bool, on the CPU: the slices to run.
    view : SliceView
        How they lie; the tensors are not flipped, what the network sees is.
    share : float
        Weight of the results.
    pixel_mm : tuple of float
        Distance of rows and of columns; of pictures that do not say, 1 mm.
    """

    sources: tuple[torch.Tensor, torch.Tensor]
    fused: torch.Tensor
    contribution: torch.Tensor
    wanted: torch.Tensor
    view: SliceView = AS_THEY_ARE
    share: float = 1.0
    pixel_mm: tuple[float, float] = (1.0, 1.0)

    @property
    def pixels(self) -> int:
        """Of a slice."""
        return self.sources[0][0].numel()

    def batches(self, size: int) -> deque[torch.Tensor]:
        """Indices of the wanted slices, `size` at a time, in the order of the display."""
        wanted = self.wanted.nonzero()[:, 0].to(self.fused.device)
        if self.view.flips[0]:
            wanted = wanted.flip(0)
        return deque(wanted.split(size)) if len(wanted) else deque()

    def take(self, batch: torch.Tensor) -> torch.Tensor:
        """Shape (2, len(batch), H, W), as they lie."""
        return torch.stack([source[batch] for source in self.sources])

    def add(self, batch: torch.Tensor, results: Results) -> None:
        """Add the results of the slices `batch`, which lie as those."""
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
    local_contrast : float
        How much of the local contrast of both sources is mixed in, in [0, 1].
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
    local_contrast: float = 0.0
    half: bool = False
    smallest_batch: int = 0
    warnings: list[str] = field(default_factory=list)

    def run(self, stacks: Sequence[Stack], monitor: Monitor) -> int:
        """Fuse the wanted slices of each stack, and return how many there were.

        Raises
        ------
        DeviceMemoryError
            Not even one slice fits into the device's memory.
        CancelledError
            The user asked to stop.
        """
        total = sum(int(stack.wanted.sum()) for stack in stacks)
        done = 0
        monitor.update("fuse", 0.0)
        if total:
            self.half = self._half_will_do(stacks)
        with self._lanes(stacks) as executors:
            for stack in stacks:
                for count in self._run_stack(stack, executors):
                    done += count
                    monitor.update("fuse", done / total)
        monitor.update("fuse", 1.0)
        return total

    def _run_stack(self, stack: Stack, executors: list[Executor]) -> Iterator[int]:
        """Run the wanted slices of a stack, and tell how many each step has brought."""
        queue = stack.batches(self._size(stack))
        if executors:
            yield from self._side_by_side(stack, queue, executors)
        # A batch is added after the next one was started: the device never waits for us.
        held: tuple[torch.Tensor, Brought] | None = None
        for batch, brought in self._one_by_one(stack, queue):
            if held is not None:
                stack.add(held[0], held[1].wait())
            held = batch, brought
            yield len(batch)
        if held is not None:
            stack.add(held[0], held[1].wait())

    def _side_by_side(
        self, stack: Stack, queue: deque[torch.Tensor], executors: list[Executor]
    ) -> Iterator[int]:
        """Take batches from the queue until it is empty, or memory is full."""

        @torch.inference_mode()
        def run(batch: torch.Tensor) -> None:
            stack.add(batch, self._forward(stack.take(batch), self.half, stack))

        size, lane = self._size(stack), itertools.cycle(executors)
        begun: deque[tuple[torch.Tensor, Future[None]]] = deque()
        while queue or begun:
            # One waits behind the one that runs, so that no thread waits for this one.
            while queue and len(begun) < 2 * len(executors):
                begun.append((queue[0], next(lane).submit(run, queue.popleft())))
            batch, future = begun.popleft()
            try:
                future.result()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                wait([other for _, other in begun])
                begun.appendleft((batch, future))
                queue.extendleft(b for b, other in reversed(begun) if other.exception())
                if len(executors) > 1:
                    self._note(size * len(executors), size)
                executors.clear()  # nor will the next stack fit
                yield sum(len(b) for b, other in begun if not other.exception())
                return
            self.smallest_batch = min(self.smallest_batch or size, size)
            yield len(batch)

    def _one_by_one(
        self, stack: Stack, queue: deque[torch.Tensor]
    ) -> Iterator[tuple[torch.Tensor, Brought]]:
        """Take batches from the queue until it is empty; halve them where memory is full."""
        transfers = Transfers(self.device, stack.fused.device)
        size = self._size(stack)
        sent: Sent | None = None
        ahead: Sent | None = None
        while queue:
            try:
                sent = ahead or transfers.send(stack.sources, queue[0])
                ahead = transfers.send(stack.sources, queue[1]) if len(queue) > 1 else None
                slices = transfers.receive(sent)
                brought = transfers.bring(*self._forward(slices, self.half, stack))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = self._smaller(len(queue[0]), stack.fused.shape[-2:], error)
            else:
                self.smallest_batch = min(self.smallest_batch or size, size)
                yield queue.popleft(), brought
                continue
            # Only here has the failed attempt let go of its tensors.
            sent = ahead = None
            queue = deque(torch.cat(list(queue)).split(size))
            release_memory(self.device)

    def _forward(self, sources: torch.Tensor, half: bool, stack: Stack) -> Results:
        view = stack.view
        anatomical, functional = view.upright(sources).unsqueeze(2)
        kind = self.device.type
        # Without TF32, which keeps 10 bits of the mantissa, a GPU gives what the CPU gives. The
        # flags are those of all threads, so those of a CPU leave them alone.
        flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with (
            torch.inference_mode(),
            flags if kind == "cuda" else nullcontext(),
        ):
            with torch.autocast(kind, torch.float16) if half else nullcontext():
                fused, parts = self.model.with_contribution(anatomical, functional)
            if self.local_contrast:
                parts = mix_local_contrast(
                    parts.float(), anatomical, functional, self.local_contrast, stack.pixel_mm
                )
                fused = parts.sum(dim=1, keepdim=True)
            return view.upright(fused[:, 0]), view.upright(parts.transpose(0, 1))

    def _half_will_do(self, stacks: Sequence[Stack]) -> bool:
        asked = self.precision == "float16"
        if self.precision == "float32" or self.device.type not in HALF_DEVICES:
            if asked:
                raise DeviceError("float16 is not run here", where=self.device, hint="use float32")
            return False
        stack = next(stack for stack in stacks if bool(stack.wanted.any()))
        probe = probe_of(stack.wanted).to(stack.fused.device)
        differences = [
            largest_difference(
                lambda x: self._forward(x, False, stack),
                lambda x: self._forward(x, True, stack),
                stack.take(part).to(self.device),
            )
            for part in probe.split(self._size(stack))
        ]
        apart = float(torch.tensor(differences).max())  # NaN where one is
        if apart < HALF_TOLERANCE:
            return True
        self.warnings.append(
            f"half precision is off by {255 * apart:.2g} of 255 grey values on {self.device}: "
            "went on in float32"
        )
        return False

    def _lanes(self, stacks: Sequence[Stack]) -> AbstractContextManager[list[Executor]]:
        """Threads to run batches on, side by side: those of PyTorch, as far as there is work.

        Even a single batch has but one: operations that are split give other last bits.
        """
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        if threads == 1:
            return nullcontext([])
        batches = max(-(-int(stack.wanted.sum()) // self._size(stack)) for stack in stacks)
        pixels = max(self._size(stack) * stack.pixels for stack in stacks)
        return lanes(max(1, min(threads, batches, _PIXELS_SIDE_BY_SIDE // pixels)))

    def _size(self, stack: Stack) -> int:
        return self.batch_size or self._slices_at_once(stack.pixels)

    def _slices_at_once(self, pixels: int) -> int:
        most = _PIXELS_AT_ONCE[self.device.type] // pixels
        free = free_memory(self.device)
        if free is not None:
            most = min(most, int(_MEMORY_SHARE * free) // (_BYTES_A_PIXEL * pixels))
        return max(1, most)

    def _smaller(self, failed: int, shape: torch.Size, error: BaseException) -> int:
        if failed == 1:
            raise DeviceMemoryError(
                f"a single slice of {shape[0]} x {shape[1]} does not fit into its memory",
                where=self.device,
                hint="use another --device, or a coarser grid",
            ) from error
        self._note(failed, failed // 2)
        return failed // 2

    def _note(self, failed: int, size: int) -> None:
        self.warnings.append(
            f"memory of {self.device} too small for {failed} slices at a time: went on with {size}"
        )
