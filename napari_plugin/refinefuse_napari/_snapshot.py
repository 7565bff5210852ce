"""What a layer is at one moment, free of napari, to be handed to another thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refinefuse_med.errors import InputError

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    Affine = NDArray[np.float64]

__all__ = [
    "AXES",
    "METADATA",
    "LayerSnapshot",
    "modality_of_layer",
    "placement_of",
    "snapshot",
]

METADATA: Final = "refinefuse"
"""Key of ``layer.metadata`` under which a layer keeps what a volume carries in ``meta``."""

AXES: Final = "axes"
"""Key within `METADATA`: nibabel orientation transform from the volume's axes to the layer's."""

_PLAIN_AXES: Final = np.array([[2.0, 1], [1, 1], [0, 1]])
"""Of a layer that is a plain array: its axes, last first, are I, J and K."""

_PLACEMENT: Final = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


@dataclass(frozen=True, eq=False)
class LayerSnapshot:
    """An image layer at one moment, free of napari, to be handed to another thread.

    Attributes
    ----------
    layer_id : str
        napari's identity of the layer; outlives a change of its name.
    name : str
    data : array, shape (a, b, c) or, colour, (a, b, c, 3)
    world_from_data : array, shape (4, 4)
        All transforms of the layer composed: data index to napari's world, mm.
    placement : dict
        The same as napari holds them, to be copied to layers on the same grid.
    info : dict
        What `METADATA` of the layer says.
    assumed : tuple of str
        What the layer does not say and was assumed.
    needs_spacing : bool
        Nothing is said of the size of its voxels: neither units nor a scale.
    """

    layer_id: str
    name: str
    data: Any
    world_from_data: Affine
    placement: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    needs_spacing: bool = False

    @property
    def axes(self) -> NDArray[np.float64]:
        """Orientation transform from the volume's axes to the layer's, shape (3, 2)."""
        return np.asarray(self.info.get(AXES, _PLAIN_AXES), dtype=np.float64)

    def same_as(self, other: LayerSnapshot) -> bool:
        """Whether both show the same array at the same place."""
        moved = np.abs(self.world_from_data - other.world_from_data).max()
        return self.data is other.data and bool(moved < 1e-6)


def snapshot(layer: Image) -> LayerSnapshot:
    """Take what a volume needs from an image layer.

    A layer without length units is taken to be in millimetres.

    Raises
    ------
    InputError
        The layer has not three dimensions.
    """
    if layer.ndim != 3:
        raise InputError(
            f"the layer has {layer.ndim} dimensions, not three",
            where=layer.name,
            hint="choose a layer that is one volume",
        )
    origin, *ends = (np.asarray(layer.data_to_world(p)) for p in np.eye(4, 3, k=-1))
    world_from_data = np.eye(4)
    world_from_data[:3] = np.column_stack([*(end - origin for end in ends), origin])
    millimetres, assumed = _millimetres(layer)
    world_from_data[:3] *= millimetres[:, None]
    return LayerSnapshot(
        layer_id=str(layer.unique_id),
        name=layer.name,
        data=layer.data[0] if layer.multiscale else layer.data,
        world_from_data=world_from_data,
        placement=placement_of(layer),
        info=dict(layer.metadata.get(METADATA, {})),
        assumed=assumed,
        needs_spacing=bool(assumed) and np.allclose(world_from_data[:3, :3], np.eye(3)),
    )


def placement_of(layer: Layer) -> dict[str, Any]:
    """The attributes that place a layer in the world, as copies."""
    placement = {name: getattr(layer, name) for name in _PLACEMENT}
    # napari would share the transform itself between the layers.
    placement["affine"] = layer.affine.affine_matrix.copy()
    return placement


def _millimetres(layer: Layer) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    from pint import DimensionalityError

    try:
        return np.array([(1.0 * unit).to("mm").magnitude for unit in layer.units]), ()
    except DimensionalityError:
        return np.ones(3), (f"layer {layer.name} has no length units; its scale is taken as mm",)


def modality_of_layer(layer: Layer) -> str:
    """DICOM modality code of a layer; ``OT`` where unknown."""
    return str(layer.metadata.get(METADATA, {}).get("modality", "OT"))
