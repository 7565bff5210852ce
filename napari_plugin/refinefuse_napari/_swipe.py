"""A layer that covers only a part of the view: a curtain to pull over another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refinefuse_napari._results import RESULT
from refinefuse_napari._snapshot import placement_of

if TYPE_CHECKING:
    from napari.layers import Image

    from refinefuse_napari._bridge import LayerData

__all__ = ["swipe_layer"]


def swipe_layer(source: Image, axis: int, fraction: float) -> LayerData:
    """The beginning of a result layer along an axis of it; no voxel is copied.

    Parameters
    ----------
    source : Image
        A result on the anatomical grid.
    axis : int
        The one that runs across the view.
    fraction : float
        How much of it, in [0, 1].
    """
    size = source.data.shape[axis]
    kept = [slice(None)] * 3
    kept[axis] = slice(0, max(1, round(fraction * size)))
    identity = ("swipe", *source.metadata[RESULT][1:])
    shown = (
        {"blending": source.blending}
        if source.rgb
        else {"colormap": source.colormap, "contrast_limits": source.contrast_limits}
    )
    attributes = {
        "name": f"{source.name}: swipe",
        "rgb": source.rgb,
        "metadata": {**source.metadata, RESULT: identity},
        **placement_of(source),
        **shown,
    }
    return source.data[tuple(kept)], attributes, "image"
