"""The panel in a real window."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.utils.notifications import notification_manager

from refinefuse_med.errors import InputError
from refinefuse_napari._bridge import image_layer
from refinefuse_napari._controller import RECORD, Outcome, State

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings("ignore:Non-orthogonal slicing"),
    pytest.mark.skipif(
        sys.platform.startswith("linux") and not os.environ.get("DISPLAY"),
        reason="needs a window: no DISPLAY (start Xvfb)",
    ),
]

DONE_MS = 60_000


@pytest.fixture
def viewer(make_napari_viewer, pair):
    viewer = make_napari_viewer()
    for volume, name in zip(reversed(pair), ("PT", "MR"), strict=True):
        data, attributes, _ = image_layer(volume, name)
        viewer.add_image(data, **attributes)
    return viewer


@pytest.fixture
def panel(viewer, qtbot):
    # As napari makes it: the viewer that the panel gets is a proxy.
    _, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")
    qtbot.waitUntil(lambda: "looking" not in panel.device.text(), timeout=DONE_MS)
    panel.method.setCurrentText("header")
    return panel


def press(button, panel, qtbot, state=State.DONE):
    button.click()
    qtbot.waitUntil(lambda: panel.controller.state is not State.RUNNING, timeout=DONE_MS)
    assert panel.controller.state is state, panel.verdict.text()


def test_register_and_fuse_put_their_results_on_the_anatomical_grid(viewer, panel, qtbot):
    mr = viewer.layers["MR"]
    press(panel.register_button, panel, qtbot)
    press(panel.fuse_button, panel, qtbot)
    registered, fused = viewer.layers[2:]
    assert fused.rgb
    assert registered.data.shape == fused.data.shape[:3] == mr.data.shape
    for layer in (registered, fused):
        for corner in ((0, 0, 0), (11, 19, 23)):
            np.testing.assert_allclose(layer.data_to_world(corner), mr.data_to_world(corner))
        assert layer.units == mr.units
        assert layer.axis_labels == mr.axis_labels
    assert fused.metadata[RECORD]["registration"]["verdict"] in panel.verdict.text()
    shown = [layer for layer in viewer.layers if layer.visible]
    assert shown == [mr, fused]


def test_a_second_fusion_renews_the_layer_of_the_first(viewer, panel, qtbot):
    press(panel.fuse_button, panel, qtbot)
    (fused,) = viewer.layers[2:]
    before = fused.data.copy()
    panel.colormap.setCurrentText("hot metal blue")
    press(panel.fuse_button, panel, qtbot)
    assert list(viewer.layers[2:]) == [fused]
    assert (fused.data != before).any()
    assert fused.metadata[RECORD]["fusion"]["colormap"] == "hot_metal_blue"


def test_the_contribution_is_a_layer_of_its_own(viewer, panel, qtbot):
    assert not panel.contribution_button.isEnabled()
    press(panel.fuse_button, panel, qtbot)
    press(panel.contribution_button, panel, qtbot)
    fused, contribution = viewer.layers[2:]
    assert contribution.rgb
    assert contribution.visible
    assert not fused.visible
    np.testing.assert_allclose(
        contribution.data_to_world((1, 2, 3)), fused.data_to_world((1, 2, 3))
    )


def test_the_layers_are_suggested_by_modality_until_the_user_chooses(viewer, panel):
    assert panel.anatomical.currentData() is viewer.layers["MR"]
    assert panel.functional.currentData() is viewer.layers["PT"]
    panel.anatomical.pick(viewer.layers["PT"])
    viewer.add_image(np.zeros((3, 4, 5)), name="another")
    assert panel.anatomical.currentData() is viewer.layers["PT"]
    viewer.layers.remove("PT")
    assert panel.anatomical.currentData() is viewer.layers["MR"]


def test_work_is_cancelled_by_the_button(panel, qtbot):
    def endless(request, monitor):
        while True:
            monitor.update("working", 0.5)

    panel.controller.fuse = endless
    panel.fuse_button.click()
    qtbot.waitUntil(lambda: "working" in panel.progress.format(), timeout=DONE_MS)
    assert not panel.fuse_button.isEnabled()
    press(panel.cancel_button, panel, qtbot, state=State.CANCELLED)
    assert panel.fuse_button.isEnabled()


def test_an_error_of_the_work_is_one_line_to_the_user(panel, qtbot):
    def refused(request, monitor):
        raise InputError("every voxel has the same value", where="PT")

    panel.controller.fuse = refused
    press(panel.fuse_button, panel, qtbot, state=State.FAILED)
    assert panel.verdict.text() == "PT: every voxel has the same value"
    assert notification_manager.records[-1].message == panel.verdict.text()


def test_one_layer_twice_is_refused_before_any_work(viewer, panel):
    panel.functional.pick(viewer.layers["MR"])
    panel.fuse_button.click()
    assert panel.controller.state is State.IDLE
    assert "two different layers" in notification_manager.records[-1].message


def test_the_panel_says_what_it_is_for_and_where_it_runs(panel):
    from qtpy.QtWidgets import QLabel

    texts = [label.text() for label in panel.findChildren(QLabel)]
    assert "For research use, not for diagnosis." in texts
    assert "CPU" in panel.device.text() or "GPU" in panel.device.text()


def test_warnings_of_the_work_reach_the_user(panel, qtbot):
    panel.controller.fuse = lambda request, monitor: Outcome("done", warnings=("little overlap",))
    press(panel.fuse_button, panel, qtbot)
    assert notification_manager.records[-1].message == "little overlap"
