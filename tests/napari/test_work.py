"""The work behind the panel, without a window."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med import fuse as fuse_volumes
from refinefuse_med import registration
from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_med.errors import CancelledError
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import Monitor
from refinefuse_napari._bridge import image_layer, snapshot
from refinefuse_napari._work import (
    RECORD,
    Models,
    Request,
    align,
    contribution,
    export,
    fuse,
)


@pytest.fixture
def anatomical(pair):
    return Layer.create(*image_layer(pair[0], "mr"))


@pytest.fixture
def functional(pair):
    return Layer.create(*image_layer(pair[1], "pet"))


@pytest.fixture(scope="module")
def models():
    return Models()


def request_for(anatomical, functional, **colour):
    config = FusionConfig.model_validate({"registration": {"method": "header"}, "colour": colour})
    return Request(snapshot(anatomical), snapshot(functional), config)


def hottest(layer):
    values = layer.data.sum(axis=-1) if layer.rgb else layer.data
    index = np.unravel_index(np.argmax(values), values.shape)
    return -np.asarray(layer.data_to_world(index))[::-1]


def test_aligning_gives_the_functional_layer_on_the_anatomical_grid(
    anatomical, functional, hot_spot_ras
):
    outcome = align(request_for(anatomical, functional))
    layer = Layer.create(*outcome.layer)
    assert layer.data.shape == anatomical.data.shape
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=2.5)
    assert outcome.verdict == outcome.alignment.pair.verdict
    assert layer.metadata[RECORD]["registration"]["method"] == "header"
    assert tuple(layer.contrast_limits) == (outcome.scale.low, outcome.scale.high)


def test_fusing_gives_a_colour_layer_on_the_anatomical_grid(
    anatomical, functional, hot_spot_ras, models
):
    outcome = fuse(request_for(anatomical, functional), None, models)
    layer = Layer.create(*outcome.layer)
    assert layer.rgb
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (*anatomical.data.shape, 3)
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=4)
    assert layer.metadata[RECORD]["fusion"]["weights_sha256"]


def test_the_result_is_that_of_the_library_to_the_bit(pair, anatomical, functional, models):
    request = request_for(anatomical, functional)
    here = fuse(request, align(request).alignment, models).fusion.result
    there = fuse_volumes(*pair, request.config)
    assert (here.fused.as_tensor() == there.fused.as_tensor()).all()
    assert (here.contribution == there.contribution).all()
    np.testing.assert_array_equal(here.transform, there.transform)


def test_the_contribution_lies_where_the_fused_layer_lies(anatomical, functional, models):
    fused = fuse(request_for(anatomical, functional), None, models)
    outcome = contribution(fused.fusion)
    layer, of = Layer.create(*outcome.layer), Layer.create(*fused.layer)
    assert layer.rgb
    assert (of.name, layer.name) == ("mr + pet: fused", "mr + pet: contribution")
    assert layer.data.shape == of.data.shape
    np.testing.assert_allclose(layer.data_to_world((3, 1, 2)), of.data_to_world((3, 1, 2)))
    assert "% functional" in outcome.summary


def test_without_a_palette_the_fused_layer_is_grey(anatomical, functional, models):
    outcome = fuse(request_for(anatomical, functional, colormap="none"), None, models)
    layer = Layer.create(*outcome.layer)
    assert not layer.rgb
    assert layer.contrast_limits == [0, 1]
    assert outcome.scale.in_words().startswith("grey")


def test_fusing_takes_a_known_alignment_as_it_is(anatomical, functional, models, monkeypatch):
    calls = []
    real = registration.register
    monkeypatch.setattr(registration, "register", lambda *a, **k: calls.append(a) or real(*a, **k))
    request = request_for(anatomical, functional)
    aligned = align(request).alignment
    outcome = fuse(request, aligned, models)
    assert len(calls) == 1
    assert outcome.alignment is outcome.fusion.alignment is aligned


def test_the_network_is_loaded_once(models, monkeypatch):
    models.get(None)
    monkeypatch.setattr(RefineFuse, "from_pretrained", lambda *args: pytest.fail("loaded again"))
    assert models.get(None) is models.get(None)


def test_data_that_is_not_in_memory_is_computed_slab_by_slab(pair, functional):
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


def test_reading_what_is_not_in_memory_stops_on_request(pair, functional):
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


def test_work_stops_on_request(anatomical, functional, models, tmp_path):
    request = request_for(anatomical, functional)
    done = fuse(request, None, models)
    monitor = Monitor(is_cancelled=lambda: True)
    for work in (
        lambda: align(request, monitor),
        lambda: fuse(request, done.alignment, models, monitor),
        lambda: contribution(done.fusion, monitor),
        lambda: export(done.fusion, tmp_path / "out", OutputConfig(), monitor),
    ):
        with pytest.raises(CancelledError):
            work()
    assert not list(tmp_path.iterdir())


def test_a_fusion_is_exported_with_its_report(anatomical, functional, models, tmp_path):
    done = fuse(request_for(anatomical, functional), None, models)
    config = OutputConfig(formats=("nifti",), preview=True, report=True)
    export(done.fusion, tmp_path / "out", config)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fused.nii.gz", "result.json", "transform.tfm", "report.html"} <= written
