"""The engine: a network on a device, and volumes or slices to fuse with it."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypedDict

import torch

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine.device import resolve_device
from refinefuse_med.engine.planes import PLANES, slices_of, to_display
from refinefuse_med.engine.slicewise import SliceRunner, Stack
from refinefuse_med.errors import GeometryError
from refinefuse_med.progress import SILENT, Monitor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from refinefuse_med.network import RefineFuse

__all__ = ["Engine", "EngineResult"]


@dataclass(frozen=True, eq=False)
class EngineResult:
    """What `Engine` gives back, on the CPU.

    Attributes
    ----------
    fused : torch.Tensor
        Fused luminance, shape of a source, float32 in [0, 1].
    contribution : torch.Tensor
        Shape (2, ...): the part of it that comes from the anatomical and from the
        functional source. Their sum is `fused`, to rounding.
    slices : int
        Slices that went through the network, of all planes together.
    skipped : int
        Slices that had no need to: black in both sources, or outside the field of view.
    device : torch.device
    seconds : float
    batch_size : int
        Slices at a time, the fewest if that changed; 0 where all were skipped.
    warnings : tuple of str
    """

    fused: torch.Tensor
    contribution: torch.Tensor
    slices: int
    skipped: int
    device: torch.device
    seconds: float
    batch_size: int
    warnings: tuple[str, ...] = ()


class _Cost(TypedDict):
    slices: int
    skipped: int
    device: torch.device
    seconds: float
    batch_size: int
    warnings: tuple[str, ...]


class Engine:
    """A network on its device, ready for any number of volumes.

    Parameters
    ----------
    model : RefineFuse
        Moved to the device and put in evaluation mode. Any module with its
        ``with_contribution`` will do.
    config : EngineConfig, optional

    Raises
    ------
    DeviceError
        The device asked for is not there.
    """

    def __init__(self, model: RefineFuse, config: EngineConfig | None = None) -> None:
        self.config = config or EngineConfig()
        self.device = resolve_device(self.config.device)
        self.model = model.to(self.device).eval()

    def fuse(
        self,
        anatomical01: torch.Tensor,
        functional01: torch.Tensor,
        affine_ras: ArrayLike,
        monitor: Monitor = SILENT,
        *,
        field_of_view: torch.Tensor | None = None,
    ) -> EngineResult:
        """Fuse two volumes that lie on one grid.

        The slices are those along the voxel axis nearest to the plane's normal, in
        radiological display: the order and sign of the voxel axes do not change the
        result. ``triplanar`` is the mean of the axial, coronal and sagittal results.
        Pixels count as square: of a volume of thick slices, the network sees the planes
        across them flattened.

        Parameters
        ----------
        anatomical01, functional01 : Tensor, shape (I, J, K), in [0, 1]
            Luminance.
        affine_ras : array, shape (4, 4)
            Voxel index to RAS millimetres.
        monitor : Monitor, optional
            Told of the stage ``fuse``, and asked whether to go on, after each batch.
        field_of_view : Tensor of bool, shape (I, J, K), optional
            Where the functional scan has seen the patient. Outside, the result is the
            anatomy, unchanged.

        Raises
        ------
        GeometryError
            The volumes differ in shape.
        DeviceError
            Not even one slice fits into the device's memory.
        CancelledError
            The user asked to stop.
        """
        sources = _sources(anatomical01, functional01)
        turn = to_display(affine_ras)
        shown = turn.apply(sources)
        seen = torch.ones_like(shown[0], dtype=torch.bool)
        if field_of_view is not None:
            mask = _on_cpu(field_of_view).bool()
            _require_same_shape(sources[0], mask)
            seen = turn.apply(mask)

        fused, contribution = torch.zeros_like(shown[0]), torch.zeros_like(shown)
        planes = tuple(PLANES) if self.config.plane == "triplanar" else (self.config.plane,)
        stacks = [
            Stack(
                sources=slices_of(shown, plane),
                fused=slices_of(fused, plane),
                contribution=slices_of(contribution, plane),
                wanted=slices_of(seen & (shown > 0).any(0), plane).flatten(1).any(1),
                share=1 / len(planes),
            )
            for plane in planes
        ]
        cost = self._run(stacks, monitor)

        for result in (fused, contribution[0]):
            result[~seen] = shown[0][~seen]
        contribution[1][~seen] = 0
        return EngineResult(turn.undo(fused), turn.undo(contribution), **cost)

    def fuse_slices(
        self,
        anatomical01: torch.Tensor,
        functional01: torch.Tensor,
        monitor: Monitor = SILENT,
    ) -> EngineResult:
        """Fuse pictures of one size, as they are.

        Parameters
        ----------
        anatomical01, functional01 : Tensor, shape (N, H, W), in [0, 1]
            Luminance.
        monitor : Monitor, optional
            As in `fuse`.

        Raises
        ------
        GeometryError, DeviceError, CancelledError
            As in `fuse`.
        """
        sources = _sources(anatomical01, functional01)
        fused, contribution = torch.zeros_like(sources[0]), torch.zeros_like(sources)
        wanted = (sources > 0).any(0).flatten(1).any(1)
        cost = self._run([Stack(sources, fused, contribution, wanted)], monitor)
        return EngineResult(fused, contribution, **cost)

    def _run(self, stacks: Sequence[Stack], monitor: Monitor) -> _Cost:
        started = perf_counter()
        runner = SliceRunner(self.model, self.device, self.config.batch_size)
        slices = runner.run(stacks, monitor)
        return _Cost(
            slices=slices,
            skipped=sum(len(stack.wanted) for stack in stacks) - slices,
            device=self.device,
            seconds=perf_counter() - started,
            batch_size=runner.smallest_batch,
            warnings=tuple(runner.warnings),
        )


def _sources(anatomical01: torch.Tensor, functional01: torch.Tensor) -> torch.Tensor:
    """Both sources as one tensor, shape (2, ...), float32, on the CPU."""
    anatomical, functional = _on_cpu(anatomical01), _on_cpu(functional01)
    _require_same_shape(anatomical, functional)
    return torch.stack([anatomical.float(), functional.float()])


def _on_cpu(volume: torch.Tensor) -> torch.Tensor:
    return volume.detach().as_subclass(torch.Tensor).cpu()


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.ndim != 3 or first.shape != second.shape:
        raise GeometryError(
            f"shapes {tuple(first.shape)} and {tuple(second.shape)} are not those of one grid",
            hint="resample both to one grid first",
        )
