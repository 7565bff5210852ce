"""Where napari layers and volumes meet; the only module that knows both.

napari's world is ours in patient coordinates, mm, with the axes (inferior, posterior, left):
RAS with all three axes negated and their order reversed, a proper rotation. Of the orders
that show axial slices first it is the one that napari shows as a radiologist expects, the
patient's left on the right and the head up in coronal and sagittal views, and does not
mirror in 3D (napari draws the first axis towards the viewer).

The data of a layer made here is the volume with its axes permuted and flipped, without
resampling, to lie nearest to those three. Which permutation is in the layer's metadata, so
that a volume comes back on the grid that it came from, slice by slice as in its file. Layer and
volume share their memory, both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._display import palette_colormap
from refinefuse_napari._snapshot import AXES, METADATA, LayerSnapshot

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from numpy.typing import ArrayLike, NDArray

    Affine = NDArray[np.float64]
    LayerData = tuple[ArrayLike, dict[str, Any], str]

__all__ = ["image_layer", "on_grid_of", "slice_on_grid_of", "to_volume"]

MADE_AT: Final = "made_at"
"""Key within `METADATA`: the layer's matrix (data to world) and the volume's (index to RAS) when
the layer was made. Where the first still holds, so does the second, to the last digit."""

WORLD_AXES: Final = ("inferior", "posterior", "left")
WORLD_FROM_RAS: Final = np.array(
    [[0.0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]],
)
"""Its own inverse: changes points between RAS mm and napari's world."""

_UNTOUCHED_MM: Final = 1e-9
_IDENTITY: Final = np.array([[0.0, 1], [1, 1], [2, 1]])
_VOLUME_KEYS: Final = (
    "modality",
    "units",
    "frame_of_reference_uid",
    "series_instance_uid",
    "source",
)


def to_volume(shot: LayerSnapshot, monitor: Monitor = SILENT) -> MetaTensor:
    """Make the volume that a layer shows, on the grid of the file where it came from one.

    Data that is not in memory yet (dask) is computed here, slab by slab. The volume is the
    layer's own memory where that is laid out as a volume is, and holds float32 or colour: it is
    to be read only.

    Raises
    ------
    GeometryError
        The layer's transforms have no inverse.
    CancelledError
        The user asked to stop.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, ornt_transform

    from refinefuse_med.volume import Keys, SourceHeader, make_volume

    back = ornt_transform(_IDENTITY, shot.axes)
    data = _in_memory(shot.data, monitor)
    # Colour without its alpha; scalars of whatever type as the pipeline wants them.
    data = data[..., :3] if data.ndim == 4 else data.astype(np.float32, copy=False)
    affine_ras = _affine_as_made(shot)
    if affine_ras is None:
        ras_from_layer = WORLD_FROM_RAS @ shot.world_from_data
        affine_ras = ras_from_layer @ inv_ornt_aff(back, data.shape[:3])
    data = apply_orientation(data, back)
    info = {name: value for name, value in shot.info.items() if name in _VOLUME_KEYS}
    source = info.pop(Keys.SOURCE, SourceHeader("array"))
    for note in shot.assumed:
        source = source.with_warning(note)
    return make_volume(
        np.ascontiguousarray(np.moveaxis(data, 3, 0) if data.ndim == 4 else data),
        affine_ras,
        source=source,
        **info,
    )


def _affine_as_made(shot: LayerSnapshot) -> Affine | None:
    """The volume's affine, where neither the layer nor its grid was touched since it was made."""
    made = shot.info.get(MADE_AT)
    if made is None or tuple(made["shape"]) != tuple(shot.data.shape[:3]):
        return None
    moved = np.abs(np.asarray(made["world_from_data"]) - shot.world_from_data).max()
    return np.asarray(made["affine_ras"]) if moved < _UNTOUCHED_MM else None


def _in_memory(data: Any, monitor: Monitor) -> NDArray[Any]:
    if isinstance(data, np.ndarray):
        return data
    array = np.empty(data.shape, dtype=data.dtype)
    ends = np.cumsum(data.chunks[0]) if hasattr(data, "chunks") else [len(data)]
    start = 0
    for end in map(int, ends):
        monitor.update("reading", start / len(data))
        array[start:end] = np.asarray(data[start:end])
        start = end
    return array


def image_layer(volume: MetaTensor, name: str) -> LayerData:
    """Make a napari image layer of a volume, whole geometry included.

    The voxel size is in ``scale`` and the pose in ``affine``, mm.
    """
    from nibabel.orientations import (
        axcodes2ornt,
        inv_ornt_aff,
        io_orientation,
        ornt_transform,
    )

    from refinefuse_med.volume import grid_of

    grid = grid_of(volume)
    axes = ornt_transform(io_orientation(grid.affine_ras), axcodes2ornt(("I", "P", "L")))
    world_from_data = WORLD_FROM_RAS @ grid.affine_ras @ inv_ornt_aff(axes, grid.shape)
    scale = np.linalg.norm(world_from_data[:3, :3], axis=0)
    placement = {
        "scale": scale,
        "affine": world_from_data @ np.diag([*(1 / scale), 1.0]),
        "units": ("mm",) * 3,
        "axis_labels": WORLD_AXES,
    }
    attributes = {"name": name, **placement, **_display(volume)}
    return _layer_data(volume, axes, world_from_data, attributes)


def on_grid_of(shot: LayerSnapshot, volume: MetaTensor, **attributes: Any) -> LayerData:
    """Make an image layer of a volume that lies on the grid of `shot`, placed as that is.

    Parameters
    ----------
    shot : LayerSnapshot
        Of the layer that `volume` was computed on.
    volume : MetaTensor
        Shape (1, I, J, K) or (3, I, J, K), on the grid of ``to_volume(shot)``.
    attributes
        Further attributes of the layer, such as ``name`` or ``colormap``.
    """
    # Colour covers what is below it, in 3D too, where depth would decide voxel by voxel.
    over = {"blending": "translucent_no_depth"} if volume.shape[0] == 3 else {}
    placed = {**shot.placement, **over, **attributes}
    return _layer_data(volume, shot.axes, shot.world_from_data, placed)


def slice_on_grid_of(
    shot: LayerSnapshot, volume: MetaTensor, layer_axis: int, index: int, **attributes: Any
) -> LayerData:
    """Make a layer of the whole grid of `shot` that shows one slice, and nothing elsewhere.

    A layer of the slice alone would be drawn aside: in 2D napari drops what an oblique
    layer's translation along the hidden axis does to the others.

    Parameters
    ----------
    shot : LayerSnapshot
    volume : MetaTensor
        The slice: (3, I, J, K) of uint8 or (1, I, J, K) in [0, 1], one of I, J, K being 1.
    layer_axis, index : int
        Which slice of the layer of `shot` it is.
    attributes
        As in `on_grid_of`.
    """
    part, made, kind = on_grid_of(shot, volume, **attributes)
    shown = np.asarray(part)
    if not made["rgb"]:
        shown = np.repeat(np.rint(255 * shown).astype(np.uint8)[..., None], 3, axis=-1)
    # Memory that is never written is never taken.
    data = np.zeros((*shot.data.shape[:3], 4), dtype=np.uint8)
    place = np.moveaxis(data, layer_axis, 0)[index]
    place[..., :3] = np.moveaxis(shown, layer_axis, 0)[0]
    place[..., 3] = 255
    return data, {**made, "rgb": True}, kind


def _layer_data(
    volume: MetaTensor,
    axes: NDArray[np.float64],
    world_from_data: Affine,
    attributes: dict[str, Any],
) -> LayerData:
    from nibabel.orientations import apply_orientation

    from refinefuse_med.volume import affine_ras

    array = volume.as_tensor().cpu().numpy()
    rgb = array.shape[0] == 3
    array = np.moveaxis(array, 0, -1) if rgb else array[0]
    info = {name: volume.meta[name] for name in _VOLUME_KEYS if name in volume.meta}
    info[AXES] = axes.tolist()
    metadata = {METADATA: info, **attributes.pop("metadata", {})}
    # A view of the volume, no copy: a slice of it is read in milliseconds all the same.
    data = apply_orientation(array, axes)
    info[MADE_AT] = {
        "shape": data.shape[:3],
        "world_from_data": world_from_data.tolist(),
        "affine_ras": affine_ras(volume).tolist(),
    }
    return data, {"rgb": rgb, "metadata": metadata, **attributes}, "image"


def _display(volume: MetaTensor) -> dict[str, Any]:
    from refinefuse_med.colour import auto_window, default_colormap
    from refinefuse_med.volume import modality_of

    if volume.shape[0] == 3:
        return {}
    return {
        "colormap": palette_colormap(default_colormap(modality_of(volume))),
        "contrast_limits": auto_window(volume),
    }
