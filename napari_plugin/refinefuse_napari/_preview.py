"""One slice fused as the whole volume would be, fast enough to follow the hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import ref

import numpy as np

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._bridge import slice_on_grid_of
from refinefuse_napari._fusing import Models
from refinefuse_napari._outcome import Alignment, Outcome, provenance
from refinefuse_napari._parts import explicit_windows, slab_of

if TYPE_CHECKING:
    from refinefuse_med.config import ColourConfig, FusionConfig

__all__ = ["Previewer", "plane_across"]

_PLANE_OF_AXIS: Final = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}


def plane_across(alignment: Alignment, layer_axis: int) -> str:
    """The anatomical plane of the slices across an axis of the anatomical layer."""
    from refinefuse_med.volume import grid_of

    axis = int(np.flatnonzero(alignment.request.anatomical.axes[:, 0] == layer_axis)[0])
    code = grid_of(alignment.pair.fixed).orientation[axis]
    return _PLANE_OF_AXIS.get(code, "sagittal")


@dataclass
class Previewer:
    """Fuses single slices; keeps the windows, which are of the whole volumes.

    For one thread at a time.
    """

    models: Models
    _windows: tuple[ref[Alignment], ColourConfig, ColourConfig] | None = None

    def fuse_slice(
        self,
        alignment: Alignment,
        config: FusionConfig,
        layer_axis: int,
        index: int,
        monitor: Monitor = SILENT,
    ) -> Outcome:
        """Fuse the slice `index` across an axis of the anatomical layer.

        The plane of the configuration is not looked at: the slice is what is fused.
        """
        from refinefuse_med.engine import Engine
        from refinefuse_med.pipeline import fuse_registered

        monitor.update("fuse", 0.0)
        request, pair = alignment.request, alignment.pair
        shot = request.anatomical
        axis = int(np.flatnonzero(shot.axes[:, 0] == layer_axis)[0])
        place = index if shot.axes[axis, 1] > 0 else shot.data.shape[layer_axis] - 1 - index
        engine = config.engine.model_copy(update={"plane": plane_across(alignment, layer_axis)})
        picture = fuse_registered(
            *slab_of(pair, axis, place, 1),
            self._colour(alignment, config.colour),
            Engine(self.models.get(engine.model), engine),
            monitor,
        )
        layer = slice_on_grid_of(
            shot,
            picture.fused,
            layer_axis,
            index,
            name=f"{request.name}: preview",
            metadata=provenance("preview", request, pair.record),
        )
        return Outcome("preview", layer=layer)

    def _colour(self, alignment: Alignment, config: ColourConfig) -> ColourConfig:
        known = self._windows
        if known is None or known[0]() is not alignment or known[1] != config:
            # An alignment that is no more is not to be kept for its windows.
            known = ref(alignment), config, explicit_windows(alignment.pair, config)
            self._windows = known
        return known[2]
