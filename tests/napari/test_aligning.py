"""Aligning behind the panel, without a window."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import Monitor
from refinefuse_napari._aligning import align
from refinefuse_napari._bridge import image_layer
from refinefuse_napari._outcome import RECORD


def test_aligning_gives_the_functional_layer_on_the_anatomical_grid(
    anatomical, functional, hot_spot_ras, request_for, hottest
):
    outcome = align(request_for(anatomical, functional))
    layer = Layer.create(*outcome.layer)
    assert layer.data.shape == anatomical.data.shape
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=2.5)
    assert outcome.verdict == outcome.alignment.pair.verdict
    assert layer.metadata[RECORD]["registration"]["method"] == "header"
    assert tuple(layer.contrast_limits) == (outcome.scale.low, outcome.scale.high)


def test_data_that_is_not_in_memory_is_computed_slab_by_slab(pair, functional, request_for):
    data, attributes, kind = image_layer(pair[0], "mr")
    slabs = []

    def counted(block):
        slabs.append(block.shape)
        return block

    lazy = dask.array.from_array(data, chunks=(3, -1, -1)).map_blocks(counted, dtype=data.dtype)
    slabs.clear()
    layer = Layer.create(lazy, {**attributes, "contrast_limits": (0, 1)}, kind)
    request = request_for(layer, functional)
    before = len(slabs)
    seen = []
    outcome = align(request, Monitor(on_progress=lambda stage, _: seen.append(stage)))
    assert len(slabs) - before == len(data) // 3
    assert seen.count("reading") == len(data) // 3
    eager = align(request_for(Layer.create(data, attributes, kind), functional))
    np.testing.assert_array_equal(outcome.layer[0], eager.layer[0])


def test_reading_what_is_not_in_memory_stops_on_request(pair, functional, request_for):
    data, attributes, kind = image_layer(pair[0], "mr")
    lazy = dask.array.from_array(data, chunks=(3, -1, -1))
    layer = Layer.create(lazy, {**attributes, "contrast_limits": (0, 1)}, kind)
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CancelledError):
        align(request_for(layer, functional), Monitor(is_cancelled=cancelled))
    assert len(asked) == 3
