"""Which voxel a 2D view shows at a place.

In 2D napari drops the part of a layer's rotation that leads out of the slice: of the layer's
matrix it takes the block of the axes shown, and of its inverse the block of the others. An
oblique scan is therefore not drawn where it is, and `Layer.world_to_data` does not give the
voxel that is seen. These functions follow the drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Layer
    from numpy.typing import ArrayLike, NDArray

__all__ = ["View", "shown_index", "view_of"]


class View(NamedTuple):
    """What of a 3D layer a viewer shows.

    Attributes
    ----------
    displayed : tuple of int
        Axes of the layer, rows first; three in a 3D view.
    point : array, shape (3,)
        World coordinates of the slice.
    """

    displayed: tuple[int, ...]
    point: NDArray[np.float64]

    @property
    def normal(self) -> int | None:
        """The axis across the slices that are shown; None in a 3D view."""
        hidden = {0, 1, 2} - set(self.displayed)
        return hidden.pop() if len(hidden) == 1 else None


def view_of(dims: Dims) -> View:
    """The view of a 3D layer; napari counts its axes from the last."""
    extra = dims.ndim - 3
    displayed = tuple(axis - extra for axis in dims.displayed if axis >= extra)
    return View(displayed, np.asarray(dims.point[extra:], dtype=np.float64))


def shown_index(layer: Layer, view: View, place: ArrayLike | None = None) -> NDArray[np.float64]:
    """Data index that a 2D view draws at a place of the world, not rounded.

    Parameters
    ----------
    layer : Layer
        Of three dimensions.
    view : View
    place : array, shape (3,), optional
        World coordinates as the cursor has them; the slice's point by default.
    """
    place = view.point if place is None else np.asarray(place, dtype=np.float64)
    matrix = _matrix(layer)
    if view.normal is None:
        return np.asarray((np.linalg.inv(matrix) @ [*place, 1.0])[:3])
    index = np.empty(3)
    shown, hidden = list(view.displayed), [view.normal]
    block, shift = _part(matrix, shown)
    index[shown] = np.linalg.solve(block, place[shown] - shift)
    block, shift = _part(np.linalg.inv(matrix), hidden)
    index[hidden] = block @ place[hidden] + shift
    return index


def _part(matrix: NDArray[Any], axes: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    return matrix[np.ix_(axes, axes)], matrix[axes, 3]


def _matrix(layer: Layer) -> NDArray[np.float64]:
    origin, *ends = (np.asarray(layer.data_to_world(p)) for p in np.eye(4, 3, k=-1))
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([*(end - origin for end in ends), origin])
    return matrix
