"""Show a functional volume in a DICOM palette."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends

from refinefuse_med import colour
from refinefuse_med.config import Colormap, Window
from refinefuse_med.transforms.metadata import require_geometry, with_history_of
from refinefuse_med.volume import like, modality_of

__all__ = ["ColourFunctional", "ColourFunctionalD", "ColourFunctionalDict", "ColourFunctionald"]


class ColourFunctional(Transform):
    """Window a scalar volume and give it a palette's colours.

    Parameters
    ----------
    colormap : {"auto", "hot_iron", "pet", "hot_metal_blue", "pet_20_step", "none"}
        ``auto``: by the volume's modality.
    window : "auto" or (low, high)
        In the volume's units.
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI's form)

    def __init__(self, colormap: Colormap = "auto", window: Window = "auto") -> None:
        self.colormap = colormap
        self.window = window

    def __call__(self, volume: MetaTensor) -> MetaTensor:
        """(1, I, J, K) in real units -> (3, I, J, K), uint8."""
        volume = require_geometry(volume)
        name = colour.resolve_colormap(self.colormap, modality_of(volume))
        window = self.window
        if window == "auto":
            window = colour.auto_window(volume, role="functional")
        low, high = window
        rgb = colour.paint(colour.apply_window(volume.as_tensor()[0], (low, high)), name)
        return with_history_of(volume, like(volume, rgb))


class ColourFunctionald(MapTransform):
    """Dictionary form of `ColourFunctional`."""

    backend = ColourFunctional.backend

    def __init__(
        self,
        keys: KeysCollection,
        colormap: Colormap = "auto",
        window: Window = "auto",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.colourise = ColourFunctional(colormap, window)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Colour each volume."""
        coloured = dict(data)
        for key in self.key_iterator(coloured):
            coloured[key] = self.colourise(coloured[key])
        return coloured


ColourFunctionalD = ColourFunctionalDict = ColourFunctionald
