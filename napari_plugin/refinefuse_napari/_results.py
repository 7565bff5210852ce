"""Results among the viewer's layers: added once, updated in place ever after."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refinefuse_napari._snapshot import modality_of_layer

if TYPE_CHECKING:
    from napari.components import LayerList, ViewerModel
    from napari.layers import Image, Layer

    from refinefuse_napari._bridge import LayerData

__all__ = [
    "FOLLOWING",
    "OF_FUSION",
    "RESULT",
    "VIEWS",
    "bring_forward",
    "candidates",
    "drop_views",
    "find_result",
    "is_following",
    "is_orphan",
    "is_result",
    "look_at",
    "show_alone",
    "show_result",
    "suggest_pair",
]

RESULT: Final = "refinefuse_result"
"""Metadata key of a layer made by us: its kind and the identities of the two layers it is of."""

FOLLOWING: Final = frozenset({"preview", "checkerboard", "edges", "blend"})
"""Kinds of results that are made again, while they are seen, when the alignment changes."""

OF_FUSION: Final = frozenset({"swipe", "contribution"})
"""Kinds of results that hold what is of one fusion, and are wrong once there is another."""

VIEWS: Final = FOLLOWING | OF_FUSION
"""Kinds of results that are made at a click, and are wrong once the alignment is another."""

_KEPT_BY_THE_USER: Final = frozenset(
    {"name", "colormap", "contrast_limits", "blending", "opacity", "visible", "rgb"}
)
_NUMBERS: Final = ("scale", "translate", "rotate", "shear", "affine")
"""Of what places a layer, what napari does not compare by itself."""


def is_result(layer: Image) -> bool:
    """Whether we made the layer."""
    return RESULT in layer.metadata


def is_orphan(layers: LayerList, layer_data: LayerData) -> bool:
    """Whether a result is of a layer that is no more."""
    _, *of = layer_data[1]["metadata"][RESULT]
    return not set(of) <= {str(layer.unique_id) for layer in layers}


def show_result(layers: LayerList, layer_data: LayerData) -> Image:
    """Add a result to the layers, or, where one of its kind and pair is there, renew that.

    How the user has set up the display of a layer outlives the renewal.
    """
    from napari.layers import Layer

    data, attributes, layer_type = layer_data
    identity = attributes["metadata"][RESULT]
    present = next((x for x in layers if x.metadata.get(RESULT) == identity), None)
    if present is None:
        fresh = Layer.create(data, attributes, layer_type)
        layers.append(fresh)
        # Not layers[-1], which is a proxy where a plugin asks, and never the same object.
        return fresh
    if present.rgb != attributes["rgb"]:
        # A layer cannot turn from colour to grey: the new one takes its place.
        index = layers.index(present)
        fresh = Layer.create(
            data, {**attributes, "name": present.name, "visible": present.visible}, layer_type
        )
        layers.remove(present)
        layers.insert(index, fresh)
        return fresh
    present.data = data
    for name, value in attributes.items():
        if name not in _KEPT_BY_THE_USER and not _stands(present, name, value):
            setattr(present, name, value)
    return present


def _stands(layer: Image, name: str, value: Any) -> bool:
    """Whether a layer is placed so already: napari would draw it again at each attribute."""
    if name not in _NUMBERS:
        return False
    now = layer.affine.affine_matrix if name == "affine" else getattr(layer, name)
    return np.array_equal(now, value)


def find_result(layers: LayerList, kind: str, of: tuple[str, str]) -> Image | None:
    """The result of a kind for two layers, by their identities; None where there is none."""
    return next((x for x in layers if x.metadata.get(RESULT) == (kind, *of)), None)


def drop_views(
    layers: LayerList,
    kinds: Collection[str] = VIEWS,
    *,
    but_seen: Collection[str] = frozenset(),
) -> None:
    """Take away views; where one of them was seen, what it lay over is: its fusion, else its scan.

    Parameters
    ----------
    layers : LayerList
    kinds : collection of str
        Of the views that go.
    but_seen : collection of str
        Kinds of which one that is seen stays.
    """
    for layer in list(layers):
        kind, *of = layer.metadata.get(RESULT, ("",))
        if kind not in kinds or (kind in but_seen and layer.visible):
            continue
        if layer.visible:
            pair = (of[0], of[1])
            below = find_result(layers, "fused", pair) or find_result(layers, "registered", pair)
            if below is not None:
                _set_visible(below, True)
        layers.remove(layer)


def is_following(layer: Image) -> bool:
    """Whether a layer is a view that is made again when the alignment changes."""
    return layer.metadata.get(RESULT, ("",))[0] in FOLLOWING


def bring_forward(
    viewer: ViewerModel, fresh: Image, anatomical: Image | None, functional: Image | None
) -> None:
    """Show a result over its anatomy; hide what would show through it, or is on another grid."""
    for layer in viewer.layers:
        if layer is fresh or layer is anatomical:
            _set_visible(layer, True)
        elif layer is functional or is_result(layer):
            _set_visible(layer, False)
    viewer.layers.selection.active = fresh
    look_at(viewer, fresh)


def show_alone(viewer: ViewerModel, image: Image, points: Layer) -> None:
    """Show an image and the points on it, and none other."""
    from napari.layers import Image, Points

    for layer in viewer.layers:
        if isinstance(layer, (Image, Points)):
            _set_visible(layer, layer in (image, points))
    look_at(viewer, image)


def _set_visible(layer: Layer, visible: bool) -> None:
    # napari would draw it again where nothing changes.
    if layer.visible is not visible:
        layer.visible = visible


def look_at(viewer: ViewerModel, layer: Image) -> None:
    """Turn the viewer to a layer, where the slice that it shows misses the layer."""
    dims, (low, high) = viewer.dims, layer.extent.world
    # napari counts the axes of a layer from the last.
    aside = {
        axis: axis - dims.ndim for axis in dims.not_displayed if axis >= dims.ndim - layer.ndim
    }
    if all(low[at] <= dims.point[axis] <= high[at] for axis, at in aside.items()):
        return
    for axis, at in aside.items():
        dims.set_point(axis, (low[at] + high[at]) / 2)
    viewer.reset_view(layers=[layer])


def candidates(layers: LayerList) -> list[Image]:
    """The layers that can be registered and fused: scalar volumes that are not results."""
    from napari.layers import Image

    return [
        layer
        for layer in layers
        if isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb and not is_result(layer)
    ]


def suggest_pair(layers: list[Image]) -> tuple[Image | None, Image | None]:
    """Guess the anatomical and the functional layer by their modalities, else by their order."""
    anatomical = _first(layers, ("MR", "CT"))
    others = [layer for layer in layers if layer is not anatomical]
    return anatomical, _first(others, ("PT", "NM", "CT"))


def _first(layers: list[Any], modalities: tuple[str, ...]) -> Any:
    ranked = sorted(layers, key=lambda x: _rank(modality_of_layer(x), modalities))
    return ranked[0] if ranked else None


def _rank(modality: str, modalities: tuple[str, ...]) -> int:
    return modalities.index(modality) if modality in modalities else len(modalities)
