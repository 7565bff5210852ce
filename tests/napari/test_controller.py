"""The work behind the panel, without a window."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med import registration
from refinefuse_med.config import FusionConfig
from refinefuse_med.errors import CancelledError, UsageError
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import Monitor
from refinefuse_napari._bridge import image_layer, snapshot
from refinefuse_napari._controller import RECORD, Controller, Outcome, Request, State

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")


@pytest.fixture
def anatomical(pair):
    return Layer.create(*image_layer(pair[0], "mr"))


@pytest.fixture
def functional(pair):
    return Layer.create(*image_layer(pair[1], "pet"))


def request_for(anatomical, functional, **colour):
    config = FusionConfig.model_validate({"registration": {"method": "header"}, "colour": colour})
    return Request(snapshot(anatomical), snapshot(functional), config)


def hottest(layer):
    values = layer.data.sum(axis=-1) if layer.rgb else layer.data
    index = np.unravel_index(np.argmax(values), values.shape)
    return -np.asarray(layer.data_to_world(index))[::-1]


def test_registering_gives_the_functional_layer_on_the_anatomical_grid(
    anatomical, functional, hot_spot_ras
):
    outcome = Controller().register(request_for(anatomical, functional))
    layer = Layer.create(*outcome.layer)
    assert layer.data.shape == anatomical.data.shape
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=2.5)
    assert outcome.verdict == "ok"
    assert layer.metadata[RECORD]["registration"]["method"] == "header"


def test_fusing_gives_a_colour_layer_on_the_anatomical_grid(anatomical, functional, hot_spot_ras):
    outcome = Controller().fuse(request_for(anatomical, functional))
    layer = Layer.create(*outcome.layer)
    assert layer.rgb
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (*anatomical.data.shape, 3)
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), anatomical.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(hottest(layer), hot_spot_ras, atol=4)
    assert layer.metadata[RECORD]["fusion"]["weights_sha256"]


def test_the_contribution_lies_where_the_fused_layer_lies(anatomical, functional):
    controller = Controller()
    with pytest.raises(UsageError, match="press Fuse"):
        controller.contribution()
    fused = Layer.create(*controller.fuse(request_for(anatomical, functional)).layer)
    outcome = controller.contribution()
    layer = Layer.create(*outcome.layer)
    assert layer.rgb
    assert layer.name == f"{fused.name}: contribution"
    assert layer.data.shape == fused.data.shape
    np.testing.assert_allclose(layer.data_to_world((3, 1, 2)), fused.data_to_world((3, 1, 2)))
    assert "% functional" in outcome.summary


def test_without_a_palette_the_fused_layer_is_grey(anatomical, functional):
    outcome = Controller().fuse(request_for(anatomical, functional, colormap="none"))
    layer = Layer.create(*outcome.layer)
    assert not layer.rgb
    assert layer.contrast_limits == [0, 1]


@pytest.fixture
def count_registrations(monkeypatch):
    calls = []
    real = registration.register

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(registration, "register", counted)
    return calls


def test_fusing_reuses_the_registration_of_the_same_layers(
    anatomical, functional, count_registrations
):
    controller = Controller()
    controller.register(request_for(anatomical, functional))
    controller.fuse(request_for(anatomical, functional))
    controller.fuse(request_for(anatomical, functional, colormap="pet"))
    assert len(count_registrations) == 1


def test_a_layer_that_was_moved_is_registered_again(anatomical, functional, count_registrations):
    controller = Controller()
    controller.register(request_for(anatomical, functional))
    functional.translate = (0, 5, 0)
    controller.fuse(request_for(anatomical, functional))
    assert len(count_registrations) == 2


def test_the_network_is_loaded_once(anatomical, functional, monkeypatch):
    loaded = []
    real = RefineFuse.from_pretrained

    def counted(*args):
        loaded.append(args)
        return real(*args)

    monkeypatch.setattr(RefineFuse, "from_pretrained", counted)
    controller = Controller()
    controller.fuse(request_for(anatomical, functional))
    controller.fuse(request_for(anatomical, functional))
    assert len(loaded) == 1


def test_work_stops_on_request(anatomical, functional):
    monitor = Monitor(is_cancelled=lambda: True)
    with pytest.raises(CancelledError):
        Controller().fuse(request_for(anatomical, functional), monitor)


def test_the_last_fusion_is_exported(anatomical, functional, tmp_path):
    controller = Controller()
    with pytest.raises(UsageError, match="press Fuse"):
        controller.export(tmp_path / "out", ("nifti",))
    controller.fuse(request_for(anatomical, functional))
    controller.export(tmp_path / "out", ("nifti",))
    assert (tmp_path / "out" / "fused.nii.gz").is_file()
    assert (tmp_path / "out" / "result.json").is_file()


def test_the_state_follows_the_work():
    states = []
    controller = Controller(states.append)
    controller.begin()
    with pytest.raises(UsageError, match="running already"):
        controller.begin()
    controller.finish(Outcome("done"))
    controller.begin()
    controller.fail(CancelledError("stopped on request"))
    controller.begin()
    controller.fail(ValueError("broken"))
    assert states == [
        State.RUNNING,
        State.DONE,
        State.RUNNING,
        State.CANCELLED,
        State.RUNNING,
        State.FAILED,
    ]
    assert controller.outcome.summary == "unexpected error: ValueError: broken"
