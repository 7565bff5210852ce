"""The two halves of `FuseVolumes`, for whoever runs the network between them.

A MONAI evaluator owns the network and its inferer: `PrepareFusiond` makes what the network
sees, `refinefuse_med.bundle.FusionInferer` runs it, and `ColourFusedd` brings the colours back.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, ensure_tuple_rep

from refinefuse_med import colour
from refinefuse_med.config import ColourConfig, Keep
from refinefuse_med.pipeline import show_pair
from refinefuse_med.transforms.metadata import require_geometry, require_pair, with_history_of
from refinefuse_med.volume import Keys, affine_ras, like, make_volume

__all__ = [
    "ColourFused",
    "ColourFusedD",
    "ColourFusedDict",
    "ColourFusedd",
    "PrepareFusion",
    "PrepareFusionD",
    "PrepareFusionDict",
    "PrepareFusiond",
]


class PrepareFusion(Transform):
    """Window and colour two volumes on one grid: what the network is to see of them.

    Parameters
    ----------
    colour : ColourConfig or dict, optional
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI's form)

    def __init__(self, colour: ColourConfig | Mapping[str, Any] | None = None) -> None:
        self.colour = ColourConfig.model_validate(colour or {})

    def __call__(
        self,
        anatomical: MetaTensor,
        functional: MetaTensor,
        field_of_view: torch.Tensor | None = None,
    ) -> tuple[MetaTensor, MetaTensor | None]:
        """(1, I, J, K) twice -> luminances (2, I, J, K), and colours (3, I, J, K), in [0, 1].

        Returns
        -------
        image : MetaTensor
            Luminance of the anatomical and of the functional volume.
        rgb : MetaTensor or None
            The functional volume in its palette; None where it stays grey.

        Raises
        ------
        GeometryError
            The two do not lie on one grid.
        """
        anatomical, functional, seen = require_pair(anatomical, functional, field_of_view)
        shown = show_pair(anatomical, functional, seen, self.colour)
        image = torch.stack([shown.grey, shown.luminance])
        meta = anatomical.meta
        picture = make_volume(
            image,
            affine_ras(anatomical),
            frame_of_reference_uid=meta.get(Keys.FRAME_OF_REFERENCE_UID),
            source=meta.get(Keys.SOURCE),
        )
        with_history_of(anatomical, picture)
        rgb = None if shown.colormap == "none" else like(picture, shown.rgb / 255)
        return picture, rgb


class PrepareFusiond(MapTransform):
    """Dictionary form of `PrepareFusion`.

    Adds ``data[image_key]``, and ``data[functional_key + "_rgb"]`` where the functional volume
    is in colour. Heeds the field of view that `CoRegisterd` leaves.
    """

    backend = PrepareFusion.backend

    def __init__(
        self,
        anatomical_key: str,
        functional_key: str,
        image_key: str = "image",
        colour: ColourConfig | Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__([anatomical_key, functional_key], allow_missing_keys)
        self.anatomical_key = anatomical_key
        self.functional_key = functional_key
        self.image_key = image_key
        self.prepare = PrepareFusion(colour)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add what the network is to see."""
        prepared = dict(data)
        if len(list(self.key_iterator(prepared))) < 2:
            return prepared
        prepared[self.image_key], rgb = self.prepare(
            prepared[self.anatomical_key],
            prepared[self.functional_key],
            prepared.get(f"{self.functional_key}_field_of_view"),
        )
        if rgb is not None:
            prepared[f"{self.functional_key}_rgb"] = rgb
        return prepared


class ColourFused(Transform):
    """Give a fused luminance the colours of the functional volume.

    Parameters
    ----------
    keep : {"luminance", "chroma"}
        What is kept where a saturated colour has no room for both.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI's form)

    def __init__(self, keep: Keep = "luminance") -> None:
        self.keep: Keep = keep

    def __call__(self, fused: MetaTensor, rgb: MetaTensor) -> MetaTensor:
        """(1, I, J, K) and (3, I, J, K), in [0, 1] -> (3, I, J, K), uint8."""
        fused = require_geometry(fused)
        coloured = colour.recolour(fused.as_tensor()[0], rgb, self.keep)
        return with_history_of(fused, like(fused, colour.to_bytes(coloured)))


class ColourFusedd(MapTransform):
    """Dictionary form of `ColourFused`; what has no colours stays grey.

    Parameters
    ----------
    keys : key or sequence of keys
        Of fused luminances.
    rgb_key : str or sequence of str
        Of the functional volume in its palette, as `PrepareFusiond` leaves it.
    keep : {"luminance", "chroma"}
    """

    backend = ColourFused.backend

    def __init__(
        self,
        keys: KeysCollection,
        rgb_key: str = "functional_rgb",
        keep: Keep = "luminance",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.rgb_keys = ensure_tuple_rep(rgb_key, len(self.keys))
        self.recolour = ColourFused(keep)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Colour each fused luminance."""
        coloured = dict(data)
        for key, rgb_key in self.key_iterator(coloured, self.rgb_keys):
            if rgb_key in coloured:
                coloured[key] = self.recolour(coloured[key], coloured[rgb_key])
        return coloured


PrepareFusionD = PrepareFusionDict = PrepareFusiond
ColourFusedD = ColourFusedDict = ColourFusedd
