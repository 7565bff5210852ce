"""What the tests of the napari plugin share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from refinefuse_med.volume import make_volume

OURS_AND_NAPARIS = (
    "error::Warning:(refinefuse_|napari)",
    # The panel says so itself, and tells Python to be still (see `expect_oblique_layers`).
    "ignore:Non-orthogonal slicing:UserWarning",
)


def pytest_collection_modifyitems(items):
    """Let every warning of ours, and of napari at what we do with it, be an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(*OURS_AND_NAPARIS))


FRAME = "1.2.826.0.1.3680043.8.498.1"


def _blob(affine, shape, at_ras, modality):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    place = index @ affine[:3, :3].T + affine[:3, 3]
    values = np.exp(-(((place - at_ras) / 5) ** 2).sum(-1))
    return make_volume(values, affine, modality=modality, frame_of_reference_uid=FRAME)


def _centred(affine, spacing, shape):
    affine = affine.copy()
    affine[:3, :3] *= np.asarray(spacing) / np.linalg.norm(affine[:3, :3], axis=0)
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


@pytest.fixture
def hot_spot_ras():
    """Where both volumes of `pair` are warm: off the middle on every axis, RAS mm."""
    return np.array([6.0, -9.0, 4.0])


@pytest.fixture
def pair(oblique, hot_spot_ras):
    """A tiny oblique, flipped MR and a straight PET, in one frame of reference."""
    fixed, moving = (24, 20, 12), (16, 18, 14)
    straight = np.diag([-1.0, -1.0, 1.0, 1.0])
    return (
        _blob(_centred(oblique, (2, 2.5, 4), fixed), fixed, hot_spot_ras, "MR"),
        _blob(_centred(straight, (3, 3, 3), moving), moving, hot_spot_ras, "PT"),
    )


@pytest.fixture
def anatomical(pair):
    """The MR of `pair` as a layer."""
    return _layer(pair[0], "mr")


@pytest.fixture
def functional(pair):
    """The PET of `pair` as a layer."""
    return _layer(pair[1], "pet")


def _layer(volume, name):
    from napari.layers import Layer

    from refinefuse_napari._bridge import image_layer

    return Layer.create(*image_layer(volume, name))


@pytest.fixture
def request_for():
    """Make a request for two layers, as they are placed by their headers."""
    from refinefuse_med.config import FusionConfig
    from refinefuse_napari._outcome import Request
    from refinefuse_napari._snapshot import snapshot

    def request_for(anatomical, functional, **colour):
        chosen = {"registration": {"method": "header"}, "colour": colour}
        config = FusionConfig.model_validate(chosen)
        return Request(snapshot(anatomical), snapshot(functional), config)

    return request_for


@pytest.fixture
def hottest():
    """Find the warmest place of a layer, RAS mm."""

    def hottest(layer):
        values = layer.data.sum(axis=-1) if layer.rgb else layer.data
        index = np.unravel_index(np.argmax(values), values.shape)
        return -np.asarray(layer.data_to_world(index))[::-1]

    return hottest


DONE_MS = 60_000


@pytest.fixture
def make_shown_viewer(request):
    """Open a napari window that is shown."""
    pytest.importorskip("pytestqt")
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        pytest.skip("needs a window: no DISPLAY (start Xvfb)")
    make = request.getfixturevalue("make_napari_viewer")
    return lambda: make(show=True)


@pytest.fixture
def viewer(make_shown_viewer, pair):
    """A napari window with both volumes of `pair`."""
    from refinefuse_napari._bridge import image_layer

    viewer = make_shown_viewer()
    for volume, name in zip(reversed(pair), ("PT", "MR"), strict=True):
        data, attributes, _ = image_layer(volume, name)
        viewer.add_image(data, **attributes)
    return viewer


@pytest.fixture
def own_settings(tmp_path, monkeypatch):
    """Settings of the plugin that are those of the test alone."""
    from napari import settings

    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings" / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    yield
    settings._clear_plugin_settings_cache()


@pytest.fixture
def panel(viewer, qtbot, own_settings):
    """The panel, as napari makes it: the viewer that it gets is a proxy."""
    viewer.window.resize(1200, 900)
    _, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")
    qtbot.waitUntil(lambda: panel.session.machine is not None, timeout=DONE_MS)
    panel.align.method.setCurrentText("header")
    return panel


@pytest.fixture
def press(panel, qtbot):
    """Click a button, wait for the work to end, and see how it ended."""
    from refinefuse_napari._controller import State

    def press(button, state=State.DONE):
        getattr(button, "button", button).click()
        controller = panel.session.controller
        qtbot.waitUntil(lambda: controller.state is not State.RUNNING, timeout=DONE_MS)
        assert controller.state is state, (panel.said.text(), panel.session.details)

    return press
