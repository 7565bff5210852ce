"""What both scans hold under the cursor, in their units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refinefuse_napari import _texts as texts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from refinefuse_napari._outcome import Alignment
    from refinefuse_napari._snapshot import LayerSnapshot

__all__ = ["values_at", "volume_index"]


def volume_index(shot: LayerSnapshot, layer_index: ArrayLike) -> NDArray[np.intp]:
    """The voxel of the volume that a voxel of its layer shows."""
    index = np.rint(np.asarray(layer_index, dtype=np.float64)).astype(int)
    axes, flips = shot.axes[:, 0].astype(int), shot.axes[:, 1]
    there = index[axes]
    sizes = np.asarray(shot.data.shape[:3])[axes]
    return np.asarray(np.where(flips > 0, there, sizes - 1 - there))


def values_at(alignment: Alignment, layer_index: ArrayLike) -> str | None:
    """Both values and the place, at an index of the anatomical layer; None outside of it."""
    pair, request = alignment.pair, alignment.request
    index = volume_index(request.anatomical, layer_index)
    if (index < 0).any() or (index >= pair.fixed.shape[1:]).any():
        return None
    i, j, k = index.tolist()
    x, y, z = (pair.fixed.affine.numpy() @ [i, j, k, 1.0])[:3]
    place = texts.PLACE.format(
        x=abs(x), y=abs(y), z=abs(z), X="LR"[int(x > 0)], Y="PA"[int(y > 0)], Z="IS"[int(z > 0)]
    )
    first = _value(request.anatomical, float(pair.fixed[0, i, j, k]))
    second = f"{request.functional.name}: {texts.NOT_SEEN}"
    if bool(pair.field_of_view[i, j, k]):
        second = _value(request.functional, float(pair.registered[0, i, j, k]))
    return f"{first}\n{second}\n{place}"


def _value(shot: LayerSnapshot, value: float) -> str:
    units = str(shot.info.get("units", "a.u."))
    digits = "0f" if units == "HU" else "4g"
    return f"{shot.name}: {value:.{digits}} {units}"
