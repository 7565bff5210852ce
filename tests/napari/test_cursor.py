"""The voxel under the cursor is the one that napari draws there, oblique or not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.components import ViewerModel
from napari.layers import Layer

from refinefuse_napari._bridge import image_layer
from refinefuse_napari._cursor import shown_index, view_of


@pytest.fixture
def viewer(pair):
    viewer = ViewerModel()
    viewer.add_layer(Layer.create(*image_layer(pair[0], "mr")))
    return viewer


def drawn_at(layer, displayed, index):
    """Where napari draws a voxel: its matrix, cut to the axes that are displayed."""
    transform = layer._transforms.simplified.set_slice(displayed)
    return transform(np.asarray(index, dtype=float)[list(displayed)])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_the_voxel_drawn_at_a_place_is_found_there(viewer, order):
    (layer,) = viewer.layers
    viewer.dims.order = order
    for step in (3, 8):
        viewer.dims.set_current_step(order[0], step)
        view = view_of(viewer.dims)
        assert view.normal == order[0]
        (hidden,) = (layer._data_slice.point[a] for a in (order[0],))
        index = np.array([4.0, 5.0, 6.0])
        index[order[0]] = hidden
        place = view.point.copy()
        place[list(view.displayed)] = drawn_at(layer, view.displayed, index)
        np.testing.assert_allclose(shown_index(layer, view, place), index, atol=1e-6)


def test_in_3d_it_is_where_the_layer_really_is(viewer):
    (layer,) = viewer.layers
    viewer.dims.ndisplay = 3
    view = view_of(viewer.dims)
    assert view.normal is None
    place = layer.data_to_world((2, 3, 4))
    np.testing.assert_allclose(shown_index(layer, view, place), (2, 3, 4))


def test_further_axes_in_front_are_left_out(viewer):
    viewer.add_image(np.zeros((2, 3, 4, 5)))
    view = view_of(viewer.dims)
    assert view.displayed == (1, 2)
    assert view.point.shape == (3,)
