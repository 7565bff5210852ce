"""Fuse two volumes that lie on one grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from refinefuse_med.config import ColourConfig, EngineConfig
from refinefuse_med.engine import Engine
from refinefuse_med.errors import GeometryError
from refinefuse_med.network import RefineFuse
from refinefuse_med.pipeline import fuse_registered
from refinefuse_med.volume import grid_of, require_scalar

__all__ = ["FuseVolumes", "FuseVolumesD", "FuseVolumesDict", "FuseVolumesd"]


class FuseVolumes(Transform):
    """Fuse an anatomical and a registered functional volume with RefineFuse.

    The network is loaded at the first call, once in each process.

    Parameters
    ----------
    colour : ColourConfig, optional
    engine : EngineConfig, optional
    """

    def __init__(
        self, colour: ColourConfig | None = None, engine: EngineConfig | None = None
    ) -> None:
        self.colour = colour or ColourConfig()
        self.config = engine or EngineConfig()

    @cached_property
    def engine(self) -> Engine:
        """The network, ready on its device."""
        return Engine(RefineFuse.from_pretrained(self.config.model), self.config)

    def __call__(
        self,
        anatomical: MetaTensor,
        functional: MetaTensor,
        field_of_view: torch.Tensor | None = None,
    ) -> MetaTensor:
        """(1, I, J, K) twice -> colour (3, I, J, K), uint8, or grey (1, I, J, K) in [0, 1].

        Parameters
        ----------
        anatomical, functional : MetaTensor
            Real units, on one grid (see `CoRegister`).
        field_of_view : torch.Tensor, optional
            Shape (I, J, K) or (1, I, J, K): where the functional scan has seen the patient;
            everywhere, if not given.

        Raises
        ------
        GeometryError
            The two do not lie on one grid.
        """
        require_scalar(anatomical)
        require_scalar(functional)
        if not grid_of(anatomical).same_as(grid_of(functional)):
            raise GeometryError(
                "the two volumes do not lie on one grid", hint="register them first (CoRegister)"
            )
        seen = torch.ones(anatomical.shape[1:], dtype=torch.bool)
        if field_of_view is not None:
            seen = torch.as_tensor(field_of_view).reshape(seen.shape).bool()
        return fuse_registered(anatomical, functional, seen, self.colour, self.engine).fused


class FuseVolumesd(MapTransform):
    """Dictionary form of `FuseVolumes`; heeds the field of view that `CoRegisterd` leaves."""

    def __init__(
        self,
        anatomical_key: str,
        functional_key: str,
        fused_key: str = "fused",
        colour: ColourConfig | None = None,
        engine: EngineConfig | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__([anatomical_key, functional_key], allow_missing_keys)
        self.anatomical_key = anatomical_key
        self.functional_key = functional_key
        self.fused_key = fused_key
        self.fuse = FuseVolumes(colour, engine)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add ``data[fused_key]``."""
        fused = dict(data)
        if len(list(self.key_iterator(fused))) == 2:
            fused[self.fused_key] = self.fuse(
                fused[self.anatomical_key],
                fused[self.functional_key],
                fused.get(f"{self.functional_key}_field_of_view"),
            )
        return fused


FuseVolumesD = FuseVolumesDict = FuseVolumesd
