"""The engine: a network on a device, and volumes or slices to fuse with it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypedDict

import torch

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine.device import (
    device_failures,
    free_memory,
    release_memory,
    resolve_device,
)
from refinefuse_med.engine.memory import reused_memory
from refinefuse_med.engine.planes import PLANES, slices_along
from refinefuse_med.engine.slicewise import SliceRunner, Stack
from refinefuse_med.engine.transfer import synchronise, to_device, to_place
from refinefuse_med.errors import DeviceMemoryError, GeometryError, is_out_of_memory
from refinefuse_med.progress import SILENT, Monitor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from refinefuse_med.network import RefineFuse

__all__ = ["Engine", "EngineResult"]

_Volumes = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Anatomical, functional, field of view."""

_CPU: Final = torch.device("cpu")

_BYTES_A_VOXEL: Final = 64
"""Of a pair that is coloured and fused: grey, colours, both sources as given and as shown, fused
luminance, contribution, and what is made on the way."""

_VOLUME_SHARE: Final = 0.5
"""Part of the free memory that a volume may take; batches need some, too."""


@dataclass(frozen=True, eq=False)
class EngineResult:
    """What `Engine` gives back, on the device of the sources.

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
    precision : {"float32", "float16"}
        In which the network was run.
    warnings : tuple of str
    """

    fused: torch.Tensor
    contribution: torch.Tensor
    slices: int
    skipped: int
    device: torch.device
    seconds: float
    batch_size: int
    precision: str
    warnings: tuple[str, ...] = ()


class _Cost(TypedDict):
    slices: int
    skipped: int
    device: torch.device
    seconds: float
    batch_size: int
    precision: str
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
        with device_failures(self.device):
            self.model = model.to(self.device).eval()

    def home_of(self, voxels: int) -> torch.device:
        """Where to keep a volume, and all that is made of it: on the device where there is room.

        On the CPU otherwise, from where its slices are sent in batches.

        Parameters
        ----------
        voxels : int
            Of one channel.
        """
        free = free_memory(self.device)
        if free is not None and voxels * _BYTES_A_VOXEL < free * _VOLUME_SHARE:
            return self.device
        return _CPU

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
        DeviceMemoryError
            Not even one slice fits into the device's memory.
        DeviceError
            The device failed.
        CancelledError
            The user asked to stop.
        """
        _require_same_shape(anatomical01, functional01)
        if field_of_view is not None:
            _require_same_shape(anatomical01, field_of_view)
        volumes = anatomical01, functional01, field_of_view
        with device_failures(self.device):
            home = self.home_of(anatomical01.numel())
            try:
                return self._fuse_at(home, volumes, affine_ras, monitor)
            except (RuntimeError, DeviceMemoryError) as error:
                if home == _CPU or not is_out_of_memory(error):
                    raise
            # Others took the memory meanwhile.
            release_memory(self.device)
            result = self._fuse_at(_CPU, volumes, affine_ras, monitor)
        note = f"memory of {self.device} too small for the volume: slices were sent in batches"
        return replace(result, warnings=(*result.warnings, note))

    def _fuse_at(
        self, home: torch.device, volumes: _Volumes, affine_ras: ArrayLike, monitor: Monitor
    ) -> EngineResult:
        """Fuse volumes that are kept at `home` meanwhile, and give the result where they were."""
        started = perf_counter()
        anatomical, functional, mask = volumes
        a, f = (to_device(_plain(volume), home).float() for volume in (anatomical, functional))
        seen = None if mask is None else to_device(_plain(mask), home).bool()
        result = self._fuse((a, f), seen, affine_ras, monitor)
        fused, contribution = to_place(anatomical.device, result.fused, result.contribution)
        synchronise(self.device)
        return replace(
            result, fused=fused, contribution=contribution, seconds=perf_counter() - started
        )

    def _fuse(
        self,
        pair: tuple[torch.Tensor, torch.Tensor],
        seen: torch.Tensor | None,
        affine_ras: ArrayLike,
        monitor: Monitor,
    ) -> EngineResult:
        visible = (pair[0] > 0).logical_or_(pair[1] > 0)
        if seen is not None:
            visible &= seen
        fused = torch.zeros(pair[0].shape, device=visible.device)
        contribution = torch.zeros(2, *fused.shape, device=fused.device)
        planes = tuple(PLANES) if self.config.plane == "triplanar" else (self.config.plane,)
        stacks = []
        for view in (slices_along(affine_ras, plane) for plane in planes):
            stack = Stack(
                sources=(view.of(pair[0]), view.of(pair[1])),
                fused=view.of(fused),
                contribution=view.of(contribution),
                wanted=view.of(visible).any(-1).any(-1).cpu(),
                view=view,
                share=1 / len(planes),
                pixel_mm=view.pixel_mm(affine_ras),
            )
            stacks.append(stack)
        cost = self._run(stacks, monitor)

        if seen is not None:
            for result in (fused, contribution[0]):
                torch.where(seen, result, pair[0], out=result)
            contribution[1].masked_fill_(~seen, 0)
        return EngineResult(fused, contribution, **cost)

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
        _require_same_shape(anatomical01, functional01)
        a, f = (_plain(volume).cpu().float() for volume in (anatomical01, functional01))
        fused, contribution = torch.zeros(a.shape), torch.zeros(2, *a.shape)
        wanted = (a > 0).logical_or_(f > 0).flatten(1).any(1)
        with device_failures(self.device):
            cost = self._run([Stack((a, f), fused, contribution, wanted)], monitor)
        return EngineResult(fused, contribution, **cost)

    def _run(self, stacks: Sequence[Stack], monitor: Monitor) -> _Cost:
        started = perf_counter()
        runner = SliceRunner(
            self.model,
            self.device,
            self.config.batch_size,
            self.config.precision,
            self.config.local_contrast,
        )
        with reused_memory() if self.device == _CPU else nullcontext():
            slices = runner.run(stacks, monitor)
        return _Cost(
            slices=slices,
            skipped=sum(len(stack.wanted) for stack in stacks) - slices,
            device=self.device,
            seconds=perf_counter() - started,
            batch_size=runner.smallest_batch,
            precision="float16" if runner.half else "float32",
            warnings=tuple(runner.warnings),
        )


def _plain(volume: torch.Tensor) -> torch.Tensor:
    return volume.detach().as_subclass(torch.Tensor)


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.ndim != 3 or first.shape != second.shape:
        raise GeometryError(
            f"shapes {tuple(first.shape)} and {tuple(second.shape)} are not those of one grid",
            hint="resample both to one grid first",
        )
