"""Fuse two volumes that lie on one grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends

from refinefuse_med.config import ColourConfig, EngineConfig
from refinefuse_med.engine import Engine
from refinefuse_med.network import RefineFuse
from refinefuse_med.pipeline import FusedPicture, fuse_registered
from refinefuse_med.transforms.metadata import require_pair, with_history_of
from refinefuse_med.volume import like

__all__ = ["FuseVolumes", "FuseVolumesD", "FuseVolumesDict", "FuseVolumesd"]


class FuseVolumes(Transform):
    """Fuse an anatomical and a registered functional volume with RefineFuse.

    The network is loaded at the first call, once in each process. On a GPU use it in the
    main process or in a ``ThreadDataLoader``: worker processes cannot share one.

    Parameters
    ----------
    colour : ColourConfig or dict, optional
    engine : EngineConfig or dict, optional
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI's form)

    def __init__(
        self,
        colour: ColourConfig | Mapping[str, Any] | None = None,
        engine: EngineConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self.colour = ColourConfig.model_validate(colour or {})
        self.config = EngineConfig.model_validate(engine or {})

    @cached_property
    def engine(self) -> Engine:
        """The network, ready on its device."""
        return Engine(RefineFuse.from_pretrained(self.config.model), self.config)

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes load a network of their own, rather than be sent one.
        return {name: value for name, value in self.__dict__.items() if name != "engine"}

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
        return self.picture(anatomical, functional, field_of_view).fused

    def picture(
        self,
        anatomical: MetaTensor,
        functional: MetaTensor,
        field_of_view: torch.Tensor | None = None,
    ) -> FusedPicture:
        """As the call, with the contribution of either scan, the windows and the palette."""
        anatomical, functional, seen = require_pair(anatomical, functional, field_of_view)
        picture = fuse_registered(anatomical, functional, seen, self.colour, self.engine)
        with_history_of(anatomical, picture.fused)
        return picture


class FuseVolumesd(MapTransform):
    """Dictionary form of `FuseVolumes`; heeds the field of view that `CoRegisterd` leaves.

    Parameters
    ----------
    anatomical_key, functional_key : str
        Volumes on one grid.
    fused_key : str
        Gets the fused volume, which has the history of the anatomical one. A label drawn on it
        inverts to either scan's own grid by ``Invertd`` with that scan's key as ``orig_keys``.
    colour, engine
        As of `FuseVolumes`.
    contribution_key : str, optional
        Gets what each scan contributes to the fused luminance, shape (2, I, J, K).
    """

    backend = FuseVolumes.backend

    def __init__(
        self,
        anatomical_key: str,
        functional_key: str,
        fused_key: str = "fused",
        colour: ColourConfig | Mapping[str, Any] | None = None,
        engine: EngineConfig | Mapping[str, Any] | None = None,
        contribution_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__([anatomical_key, functional_key], allow_missing_keys)
        self.anatomical_key = anatomical_key
        self.functional_key = functional_key
        self.fused_key = fused_key
        self.contribution_key = contribution_key
        self.fuse = FuseVolumes(colour, engine)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add ``data[fused_key]``."""
        fused = dict(data)
        if len(list(self.key_iterator(fused))) < 2:
            return fused
        picture = self.fuse.picture(
            fused[self.anatomical_key],
            fused[self.functional_key],
            fused.get(f"{self.functional_key}_field_of_view"),
        )
        fused[self.fused_key] = picture.fused
        if self.contribution_key is not None:
            parts = like(picture.fused, picture.run.contribution)
            fused[self.contribution_key] = with_history_of(picture.fused, parts)
        return fused


FuseVolumesD = FuseVolumesDict = FuseVolumesd
