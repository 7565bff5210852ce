"""Fusing behind the panel, without a window."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med import fuse as fuse_volumes
from refinefuse_med import registration
from refinefuse_med.config import OutputConfig
from refinefuse_med.errors import CancelledError
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import Monitor
from refinefuse_napari._aligning import align
from refinefuse_napari._fusing import Models, contribution, export, fuse
from refinefuse_napari._outcome import RECORD


@pytest.fixture(scope="module")
def models():
    return Models()


def test_fusing_gives_a_colour_layer_on_the_anatomical_grid(
    anatomical, functional, hot_spot_ras, models, request_for, hottest
):
    outcome = fuse(request_for(anatomical, functional), None, models)
    layer = Layer.create(*outcome.layer)
    assert layer.rgb
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (*anatomical.data.shape, 3)
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=4)
    assert layer.metadata[RECORD]["fusion"]["weights_sha256"]


def test_the_result_is_that_of_the_library_to_the_bit(
    pair, anatomical, functional, models, request_for
):
    request = request_for(anatomical, functional)
    here = fuse(request, align(request).alignment, models).fusion.result
    there = fuse_volumes(*pair, request.config)
    assert (here.fused.as_tensor() == there.fused.as_tensor()).all()
    assert (here.contribution == there.contribution).all()
    np.testing.assert_array_equal(here.transform, there.transform)


def test_the_contribution_lies_where_the_fused_layer_lies(
    anatomical, functional, models, request_for
):
    fused = fuse(request_for(anatomical, functional), None, models)
    outcome = contribution(fused.fusion)
    layer, of = Layer.create(*outcome.layer), Layer.create(*fused.layer)
    assert layer.rgb
    assert (of.name, layer.name) == ("mr + pet: fused", "mr + pet: contribution")
    assert layer.data.shape == of.data.shape
    np.testing.assert_allclose(layer.data_to_world((3, 1, 2)), of.data_to_world((3, 1, 2)))
    assert "% functional" in outcome.summary


def test_without_a_palette_the_fused_layer_is_grey(anatomical, functional, models, request_for):
    outcome = fuse(request_for(anatomical, functional, colormap="none"), None, models)
    layer = Layer.create(*outcome.layer)
    assert not layer.rgb
    assert layer.contrast_limits == [0, 1]
    assert outcome.scale.in_words().startswith("grey")


def test_fusing_takes_a_known_alignment_as_it_is(
    anatomical, functional, models, monkeypatch, request_for
):
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


def test_work_stops_on_request(anatomical, functional, models, tmp_path, request_for):
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


def test_a_fusion_is_exported_with_its_report(
    anatomical, functional, models, tmp_path, request_for
):
    done = fuse(request_for(anatomical, functional), None, models)
    config = OutputConfig(formats=("nifti",), preview=True, report=True)
    export(done.fusion, tmp_path / "out", config)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"fused.nii.gz", "result.json", "transform.tfm", "report.html"} <= written
