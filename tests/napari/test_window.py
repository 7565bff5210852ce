"""The panel in a real window: each step by clicks and keys."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea

from refinefuse_med.errors import InputError
from refinefuse_napari import _texts as texts
from refinefuse_napari._collector import sweep
from refinefuse_napari._controller import State
from refinefuse_napari._labels import Note
from refinefuse_napari._outcome import RECORD, Outcome
from refinefuse_napari._widgets import Fold


def results(viewer):
    return list(viewer.layers[2:])


def test_align_and_fuse_put_their_results_on_the_anatomical_grid(viewer, panel, press):
    mr = viewer.layers["MR"]
    press(panel.align.align)
    press(panel.fuse.fuse)
    registered, fused = results(viewer)
    assert fused.rgb
    assert registered.data.shape == fused.data.shape[:3] == mr.data.shape
    for layer in (registered, fused):
        for corner in ((0, 0, 0), (11, 19, 23)):
            np.testing.assert_allclose(layer.data_to_world(corner), mr.data_to_world(corner))
        assert layer.units == mr.units
        assert layer.axis_labels == mr.axis_labels
    verdict = fused.metadata[RECORD]["registration"]["verdict"]
    assert panel.align.verdict.text().startswith(verdict)
    assert [layer for layer in viewer.layers if layer.visible] == [mr, fused]


def test_a_second_fusion_renews_the_layer_of_the_first(viewer, panel, press):
    press(panel.fuse.fuse)
    (fused,) = results(viewer)
    before = fused.data.copy()
    panel.fuse.colormap.setCurrentText("hot metal blue")
    press(panel.fuse.fuse)
    assert results(viewer) == [fused]
    assert (fused.data != before).any()
    assert fused.metadata[RECORD]["fusion"]["colormap"] == "hot_metal_blue"


def test_what_is_asked_for_again_comes_forward_again(viewer, panel, press):
    press(panel.fuse.fuse)
    press(panel.check.compare["edges"])
    fused, edges = results(viewer)
    assert not fused.visible
    press(panel.fuse.fuse)
    assert (fused.visible, edges.visible) == (True, False)
    press(panel.check.compare["edges"])
    assert (fused.visible, edges.visible) == (False, True)


def test_in_3d_the_fusion_covers_its_anatomy(viewer, panel, press):
    press(panel.fuse.fuse)
    mr, fused = viewer.layers["MR"], results(viewer)[0]
    viewer.dims.ndisplay = 3

    def picture():
        return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

    both = picture()
    mr.visible = False
    assert np.ptp(both - picture(), axis=(0, 1)).max() == 0
    assert np.ptp(both, axis=2).max() > 100
    mr.visible, fused.visible = True, False
    assert np.abs(both - picture()).max() > 50


def test_why_an_alignment_is_doubted_stands_below_its_verdict(panel, press, qtbot):
    press(panel.align.align)
    before = len(notification_manager.records)
    panel.align.shift[0].setValue(15)
    qtbot.waitUntil(lambda: bool(panel.align.doubts.text()), timeout=30_000)
    warnings = panel.session.controller.alignment.pair.registration.warnings
    assert panel.align.doubts.text().splitlines() == [f"– {warning}" for warning in warnings]
    assert panel.align.doubts.isVisibleTo(panel)
    assert len(notification_manager.records) == before


def test_a_folder_that_is_there_is_refused_before_anything_is_written(panel, press, tmp_path):
    press(panel.fuse.fuse)
    panel.export.folder.setText(str(tmp_path))
    assert panel.export.export.reason.text() == texts.FOLDER_EXISTS
    panel.export.folder.setText(str(tmp_path / "new"))
    press(panel.export.export)
    assert not panel.export.export.button.isEnabled()
    assert (tmp_path / "new" / "result.json").is_file()


def test_the_contribution_is_a_layer_of_its_own(viewer, panel, press):
    assert not panel.check.contribution.isEnabled()
    press(panel.fuse.fuse)
    press(panel.check.contribution)
    fused, contribution = results(viewer)
    assert contribution.rgb
    assert contribution.visible
    assert not fused.visible


def test_the_layers_are_suggested_by_modality_until_the_user_chooses(viewer, panel):
    inputs = panel.inputs
    assert inputs.anatomical.currentData() is viewer.layers["MR"]
    assert inputs.functional.currentData() is viewer.layers["PT"]
    inputs.anatomical.pick(viewer.layers["PT"])
    viewer.add_image(np.zeros((3, 4, 5)), name="another")
    assert inputs.anatomical.currentData() is viewer.layers["PT"]
    viewer.layers.remove("PT")
    assert inputs.anatomical.currentData() is viewer.layers["MR"]


def test_swap_exchanges_the_roles(viewer, panel):
    panel.inputs.swap.click()
    assert panel.inputs.anatomical.currentData() is viewer.layers["PT"]
    assert panel.inputs.functional.currentData() is viewer.layers["MR"]
    assert "press Swap" in panel.inputs.words.text()


def test_the_facts_of_both_scans_are_told(panel):
    told = panel.inputs.facts["anatomical"].text()
    assert told.startswith("MR, 24 × 20 × 12 of 2 × 2.5 × 4 mm")
    assert panel.inputs.facts["functional"].text().startswith("PET, 16 × 18 × 14")
    assert texts.ONE_FRAME in panel.inputs.words.text()
    assert "Tilted (MR" in panel.inputs.words.text()


def test_a_plain_array_is_asked_for_its_voxel_size(viewer, panel, qtbot):
    plain = viewer.add_image(np.random.default_rng(0).random((6, 7, 8)), name="plain")
    panel.inputs.functional.pick(plain)
    assert "plain does not say its voxel size" in panel.inputs.words.text()
    assert not panel.fuse.fuse.button.isEnabled()
    assert "voxel size" in panel.fuse.fuse.reason.text()
    spacing = panel.inputs.spacing
    for box, size in zip(spacing.boxes, (3.0, 2.0, 1.5), strict=True):
        box.setValue(size)
    qtbot.mouseClick(spacing.button, Qt.MouseButton.LeftButton)
    assert plain.scale.tolist() == [3, 2, 1.5]
    assert panel.fuse.fuse.button.isEnabled()
    assert spacing.isHidden()
    assert "8 × 7 × 6 of 1.5 × 2 × 3 mm" in panel.inputs.facts["functional"].text()


def test_moving_a_layer_takes_the_alignment_back(viewer, panel, press):
    press(panel.align.align)
    assert panel.fuse.preview.button.isEnabled()
    viewer.layers["PT"].translate = (0, 4, 0)
    assert not panel.fuse.preview.button.isEnabled()
    assert panel.fuse.preview.reason.text() == texts.NOT_ALIGNED


def test_work_is_cancelled_by_the_button(panel, qtbot, press, monkeypatch):
    def endless(*args):
        monitor = args[-1]
        while True:
            monitor.update("fuse", 0.5)

    monkeypatch.setattr("refinefuse_napari.sections.fuse.fuse", endless)
    panel.fuse.fuse.button.click()
    qtbot.waitUntil(lambda: "fusing" in panel.progress.format(), timeout=10_000)
    assert not panel.fuse.fuse.button.isEnabled()
    assert panel.said.isHidden()
    press(panel.cancel, State.CANCELLED)
    assert panel.fuse.fuse.button.isEnabled()
    assert panel.progress.format() == "stopped"


def test_an_error_of_the_work_is_one_line_to_the_user(panel, press, monkeypatch):
    def refused(*args):
        raise InputError("every voxel has the same value", where="PT")

    monkeypatch.setattr("refinefuse_napari.sections.fuse.fuse", refused)
    assert panel.details.isHidden()
    press(panel.fuse.fuse, State.FAILED)
    assert not panel.details.isHidden()
    assert panel.said.text() == "PT: every voxel has the same value"
    assert notification_manager.records[-1].message == panel.said.text()
    panel.details.click()
    assert "in refused" in panel.session.details


def test_one_layer_twice_is_refused_before_any_work(viewer, panel):
    panel.inputs.functional.pick(viewer.layers["MR"])
    assert not panel.fuse.fuse.button.isEnabled()
    assert texts.ONE_LAYER in panel.fuse.fuse.reason.text()
    assert panel.session.controller.state is State.IDLE


def test_a_window_that_cannot_be_is_told_before_any_work(panel, qtbot):
    line = panel.fuse.windows["anatomical"]
    line.setText("9, 2")
    line.editingFinished.emit()
    panel.fuse.fuse.button.click()
    assert panel.session.controller.state is State.IDLE
    assert "a window needs LOW < HIGH" in notification_manager.records[-1].message


def test_the_panel_says_what_it_is_for_and_where_it_runs(panel):
    assert texts.DISCLAIMER in [label.text() for label in panel.findChildren(QLabel)]
    said = panel.fuse.device_words.text()
    assert "no GPU found, fusion takes about" in said or said.startswith("GPU")
    assert "of memory" in panel.fuse.memory.text()


def test_warnings_of_the_work_reach_the_user(panel, press, monkeypatch):
    monkeypatch.setattr(
        "refinefuse_napari.sections.fuse.fuse",
        lambda *args: Outcome("done", warnings=("little overlap",)),
    )
    press(panel.fuse.fuse)
    assert notification_manager.records[-1].message == "little overlap"


def test_the_preview_follows_the_slider_and_is_the_slice_of_the_volume(viewer, panel, press, qtbot):
    press(panel.align.align)
    press(panel.fuse.fuse)
    fused = viewer.layers[-1]
    panel.fuse.preview.button.click()
    for index in (4, 7):
        viewer.dims.set_point(0, viewer.layers["MR"].data_to_world((index, 10, 12))[0])
        qtbot.waitUntil(lambda: not panel.fuse.preview.is_busy, timeout=30_000)
        preview = viewer.layers[-1]
        (shown,) = np.flatnonzero(preview.data[..., 3].any(axis=(1, 2)))
        assert preview.visible
        difference = preview.data[shown, ..., :3].astype(int) - fused.data[shown]
        assert np.abs(difference).max() <= 1
    panel.fuse.preview.button.click()
    assert preview not in viewer.layers


def test_the_preview_wants_the_view_of_its_plane(viewer, panel, press):
    press(panel.align.align)
    viewer.dims.order = (1, 0, 2)
    panel.session.changed.emit()
    assert panel.fuse.preview.reason.text() == texts.TURN_VIEW.format("axial")
    panel.fuse.plane.setCurrentText("coronal")
    assert panel.fuse.preview.button.isEnabled()


def test_local_contrast_is_mixed_into_the_next_fusion(viewer, panel, press):
    def fused():
        press(panel.fuse.fuse)
        return results(viewer)[-1].data.copy()

    panel.fuse.plane.setCurrentText("axial")
    plain = fused()
    panel.fuse.local_contrast.setValue(100)
    mixed = fused()
    assert (mixed != plain).any()
    assert panel.session.request().config.engine.local_contrast == 1
    panel.fuse.local_contrast.setValue(0)
    assert (fused() == plain).all()


def test_nudging_moves_the_registered_layer_and_the_view_that_is_seen(viewer, panel, press, qtbot):
    press(panel.align.align)
    press(panel.check.compare["checkerboard"])
    registered, board = results(viewer)
    before, picture = registered.data, board.data
    panel.align.shift[0].setValue(8)
    qtbot.waitUntil(lambda: board.data is not picture, timeout=30_000)
    assert results(viewer) == [registered, board]
    assert registered.data is not before
    assert "by hand" in panel.align.verdict.text()
    assert panel.align.shift[0].value() == 8
    press(panel.align.reset)
    assert panel.align.shift[0].value() == 0
    assert "by headers" in panel.align.verdict.text()


def test_the_values_of_both_scans_stand_under_the_cursor(viewer, panel, press):
    press(panel.align.align)
    mr = viewer.layers["MR"]
    index = (6, 10, 12)
    viewer.dims.set_point(0, mr.data_to_world(index)[0])
    viewer.cursor.position = mr.data_to_world(index)
    panel.readout.cursor_moved(viewer)
    lines = panel.readout.values.text().splitlines()
    assert lines[0].startswith("MR: ")
    assert lines[1].startswith("PT: ")
    assert lines[2].endswith(" mm")
    assert not panel.readout.bar.isHidden()


def test_swiping_shows_a_part_of_the_fusion_without_a_copy(viewer, panel, press):
    press(panel.fuse.fuse)
    fused = viewer.layers[-1]
    panel.check.swipe.setValue(50)
    swipe = viewer.layers[-1]
    assert swipe.data.shape == (12, 24, 10, 3)
    assert np.shares_memory(swipe.data, fused.data)
    assert not fused.visible
    panel.check.swipe.setValue(100)
    assert not swipe.visible
    assert fused.visible
    panel.check.swipe.setValue(30)
    assert viewer.layers[-1] is swipe
    assert swipe.visible
    assert swipe.data.shape == (12, 24, 6, 3)
    assert not fused.visible


def test_twenty_fusions_hold_no_more_memory_than_one(viewer, panel, press):
    results_so_far = []
    for _ in range(20):
        press(panel.fuse.fuse)
        result = panel.session.controller.fusion.result
        results_so_far.append(weakref.ref(result.fused))
        del result
    gc.collect()
    assert [known() is not None for known in results_so_far] == [False] * 19 + [True]
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("is_short", [False, True])
def test_a_fusion_makes_way_for_the_next_where_memory_is_short(
    viewer, panel, press, monkeypatch, is_short
):
    monkeypatch.setattr(
        "refinefuse_napari.sections.fuse.memory_words", lambda needed: ("said", is_short)
    )
    press(panel.fuse.fuse)
    press(panel.check.contribution)
    fused, share = results(viewer)
    kept = [fused] if is_short else [fused, share]
    contribution = panel.session.controller.fusion.result.contribution
    alive = [weakref.ref(contribution), weakref.ref(share.data)]
    del contribution, share
    found = []

    def second(*args):
        found.extend(known() is not None for known in alive)
        raise InputError("no second fusion")

    monkeypatch.setattr("refinefuse_napari.sections.fuse.fuse", second)
    press(panel.fuse.fuse, State.FAILED)
    assert found == [not is_short] * 2
    assert (panel.session.controller.fusion is None) is is_short
    assert results(viewer) == kept
    assert fused.visible is is_short


def test_another_fusion_takes_away_what_is_of_the_last(viewer, panel, press):
    press(panel.fuse.fuse)
    press(panel.check.contribution)
    panel.check.swipe.setValue(50)
    fused = results(viewer)[0]
    press(panel.fuse.fuse)
    assert results(viewer) == [fused]
    assert fused.visible


def test_memory_is_given_back_when_all_layers_are_removed(viewer, panel, press):
    press(panel.fuse.fuse)
    press(panel.check.compare["checkerboard"])
    panel.check.swipe.setValue(50)
    controller = panel.session.controller
    result = controller.fusion.result
    made = {
        "fixed volume": result.anatomical,
        "registered volume": result.functional_registered,
        "fused volume": result.fused,
        "contribution": result.contribution,
    }
    del result
    alive = {name: weakref.ref(volume) for name, volume in made.items()}
    alive |= {layer.name: weakref.ref(layer.data) for layer in viewer.layers}
    del made
    viewer.layers.clear()
    # The controls of a layer, which hold it, are deleted once the window lives on.
    QApplication.processEvents()
    sweep()
    assert [name for name, known in alive.items() if known() is not None] == []


@pytest.mark.parametrize(("order", "shape"), [((1, 0, 2), (12, 24, 10)), ((2, 0, 1), (12, 12, 20))])
def test_the_swipe_runs_across_whatever_view_there_is(viewer, panel, press, order, shape):
    press(panel.fuse.fuse)
    viewer.dims.order = order
    panel.check.swipe.setValue(50)
    assert viewer.layers[-1].data.shape == (*shape, 3)


def test_no_line_of_a_text_is_cut_off(viewer, panel, press, qtbot):
    press(panel.align.align)
    for fold in panel.findChildren(Fold):
        fold.toggle.setChecked(True)

    def cut():
        notes = [note for note in panel.findChildren(Note) if note.isVisible()]
        assert panel.align.landmarks.align.reason in notes
        return [x.text() for x in notes if x.height() < x.heightForWidth(x.width())]

    qtbot.waitUntil(lambda: not cut(), timeout=5000)
    sideways = panel.findChild(QScrollArea).horizontalScrollBar()
    assert sideways.maximum() == 0
