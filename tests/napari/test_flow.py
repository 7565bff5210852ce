"""The whole work in a window that is shown: dropped folders in, a DICOM series out; and trouble."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from refinefuse_med.io import load_volume
from refinefuse_med.sample.dicom_study import write_study
from refinefuse_napari._collector import sweep
from refinefuse_napari._controller import State
from refinefuse_napari._results import RESULT

pytestmark = pytest.mark.window
ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts"
LONG_MS = 240_000


@pytest.fixture(scope="module")
def study(head_pair, tmp_path_factory):
    """Two DICOM folders of a patient who never was."""
    out = tmp_path_factory.mktemp("study")
    mr, pt = head_pair
    write_study({"mr": mr.clip(0), "pet": pt.clip(0)}, out, seed=0, patient_id="nobody")
    return {folder.name: folder for folder in out.iterdir()}


@pytest.fixture
def viewer(request):
    """An empty napari window, shown."""
    return request.getfixturevalue("make_shown_viewer")()


def drop(panel, qtbot, *paths, state=State.DONE):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    enter = QDragEnterEvent(QPoint(20, 20), *how)
    QApplication.sendEvent(panel, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(panel, QDropEvent(QPointF(20, 20), *how))
    wait(panel, qtbot, state)


def wait(panel, qtbot, state=State.DONE):
    controller = panel.session.controller
    qtbot.waitUntil(lambda: controller.state is not State.RUNNING, timeout=LONG_MS)
    assert controller.state is state, panel.session.details


def click(qtbot, button):
    button = getattr(button, "button", button)
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_from_two_dropped_folders_to_a_dicom_series_in_four_interactions(
    viewer, panel, qtbot, study, tmp_path
):
    panel.align.method.setCurrentText("auto")
    drop(panel, qtbot, study["MR"], study["PT"])
    assert panel.inputs.anatomical.currentText().startswith("MR")
    assert panel.inputs.functional.currentText().startswith("PT")
    assert "Two frames of reference" in panel.inputs.words.text()

    click(qtbot, panel.fuse.fuse)
    wait(panel, qtbot)
    assert panel.align.verdict.text().startswith("ok (rigid)")

    qtbot.keyClicks(panel.export.folder, str(tmp_path / "fused"))
    click(qtbot, panel.export.export)
    wait(panel, qtbot)

    ARTEFACTS.mkdir(exist_ok=True)
    viewer.screenshot(str(ARTEFACTS / "napari_flow.png"), canvas_only=False, flash=False)
    written = load_volume(tmp_path / "fused" / "dicom" / "fused")
    scan = load_volume(study["MR"])
    np.testing.assert_allclose(written.affine, scan.affine, atol=1e-3)
    (fused,) = (x for x in viewer.layers if x.metadata.get(RESULT, ("",))[0] == "fused")
    assert fused.data.shape[:3] == written.shape[:0:-1]
    assert (tmp_path / "fused" / "report.html").is_file()

    from refinefuse_med.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["fuse", str(study["MR"]), str(study["PT"]), "-o", str(tmp_path / "line"), "-q"])
    assert ended.value.code == 0
    there = load_volume(tmp_path / "line" / "dicom" / "fused")
    assert (written.as_tensor() == there.as_tensor()).all()
    for name in ("functional_registered.nii.gz", "transform.tfm"):
        here = (tmp_path / "fused" / name).read_bytes()
        assert here == (tmp_path / "line" / name).read_bytes()


@pytest.mark.parametrize("stage", ["reading headers", "reading"])
def test_reading_is_cancelled(viewer, panel, qtbot, study, stage):
    def stop(at, _):
        if at == stage and panel.cancel.isEnabled():
            panel.cancel.click()

    panel.session.job.progressed.connect(stop)
    assert not panel.inputs.open_folder.isHidden()
    drop(panel, qtbot, study["MR"], study["PT"], state=State.CANCELLED)
    assert panel.progress.format() == "stopped"
    assert not viewer.layers
    assert panel.inputs.open_folder.isEnabled()


@pytest.mark.parametrize("stage", ["register", "resample", "fuse", "writing"])
def test_work_is_cancelled_in_each_stage(viewer, panel, qtbot, study, tmp_path, stage):
    panel.align.method.setCurrentText("rigid" if stage == "register" else "none")
    drop(panel, qtbot, study["MR"], study["PT"])
    button = {"resample": panel.align.reset, "writing": panel.export.export}.get(
        stage, panel.fuse.fuse
    )
    if stage == "writing":
        click(qtbot, panel.fuse.fuse)
        wait(panel, qtbot)
        panel.export.folder.setText(str(tmp_path / "out"))
    before = list(viewer.layers)

    def stop(at, _):
        if at == stage and panel.cancel.isEnabled():
            panel.cancel.click()

    panel.session.job.progressed.connect(stop)
    getattr(button, "button", button).click()
    wait(panel, qtbot, State.CANCELLED)
    assert panel.progress.format() == "stopped"
    assert list(viewer.layers) == before
    assert not (tmp_path / "out").exists()


def test_keys_do_what_buttons_do(viewer, panel, qtbot, study):
    panel.align.method.setCurrentText("none")
    drop(panel, qtbot, study["MR"], study["PT"])
    window = viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=10_000)
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(
        canvas,
        Qt.Key.Key_A,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier,
    )
    wait(panel, qtbot)
    assert panel.session.controller.alignment is not None


def test_what_is_no_scan_is_said_in_one_line(viewer, panel, qtbot, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    drop(panel, qtbot, tmp_path / "notes.txt", state=State.FAILED)
    assert not viewer.layers
    assert "\n" not in notification_manager.records[-1].message.strip()
    assert notification_manager.records[-1].message == panel.said.text()


def test_what_can_be_read_is_opened_and_the_rest_is_told(viewer, panel, qtbot, study, tmp_path):
    drop(panel, qtbot, study["MR"], tmp_path / "absent")
    assert [layer.name[:2] for layer in viewer.layers] == ["MR"]
    assert "no such file or folder" in notification_manager.records[-1].message


def test_landmarks_are_set_by_clicks_where_the_view_shows_the_scan(viewer, panel, qtbot, study):
    drop(panel, qtbot, study["MR"], study["PT"])
    panel.align.landmarks.add.button.click()
    fixed, moving = (box.currentData() for box in panel.align.landmarks.boxes.values())
    for points, scan in ((fixed, "MR"), (moving, "PT"), (fixed, "MR")):
        viewer.layers.selection.active = points
        assert points.mode == "add"
        seen = [layer.name for layer in viewer.layers if layer.visible]
        assert [name.split()[0] for name in seen] == [scan, "landmarks"]
        assert seen[1] == points.name
    assert not panel.align.landmarks.align.button.isEnabled()
    mr = panel.session.anatomical
    viewer.dims.set_point(0, mr.data_to_world((15, 25, 22))[0])
    from refinefuse_napari._cursor import shown_index, view_of

    view = view_of(viewer.dims)
    place = view.point + np.array([0, 12, -7])
    fixed.add(fixed.world_to_data(place))
    np.testing.assert_allclose(fixed.data[0], shown_index(mr, view, place), atol=1e-4)
    for layer, scan in ((fixed, mr), (moving, panel.session.functional)):
        layer.data = np.empty((0, 3))
        ras = np.array([[0, 0, 0], [30, 5, 4], [-20, 35, 8], [10, -25, 30]])
        layer.data = [scan.world_to_data(point) for point in -ras[:, ::-1]]
    assert panel.align.landmarks.align.button.isEnabled()
    panel.align.landmarks.align.button.click()
    wait(panel, qtbot)
    registration = panel.session.controller.alignment.pair.registration
    assert registration.method == "by landmarks"
    assert viewer.layers[0].visible
    np.testing.assert_allclose(registration.matrix_fixed_to_moving_lps, np.eye(4), atol=1e-4)


def test_closing_the_window_in_the_middle_of_the_work_stops_it(viewer, panel, qtbot, study):
    drop(panel, qtbot, study["MR"], study["PT"])
    panel.align.method.setCurrentText("rigid")
    panel.align.align.button.click()
    qtbot.waitUntil(lambda: "aligning" in panel.progress.format(), timeout=LONG_MS)
    viewer.close()
    qtbot.waitUntil(lambda: not working(), timeout=10_000)


def test_opening_and_closing_twenty_times_leaves_nothing_behind(viewer, qtbot):
    def open_and_close():
        dock, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")
        qtbot.waitUntil(lambda: panel.session.machine is not None, timeout=LONG_MS)
        dock.destroyOnClose()

    def once():
        open_and_close()
        QApplication.processEvents()
        sweep()

    def left():
        return (
            len(QApplication.allWidgets()),
            len(working()),
            len(viewer.mouse_move_callbacks),
            len(viewer.dims.events.callbacks),
            len(viewer.layers.events.inserted.callbacks),
        )

    once()
    viewer.layers.remove(viewer.add_image(np.zeros((2, 2))))
    before = left()
    for _ in range(20):
        once()
    # Callbacks that are dead are dropped when their event comes next.
    viewer.layers.remove(viewer.add_image(np.zeros((2, 2))))
    assert left() == before


def working():
    return [t for t in threading.enumerate() if t.name.startswith("refinefuse")]
