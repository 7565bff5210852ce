"""Make the pictures of ``docs/napari.md``: the sample study, worked on in a real napari window.

Run it where a window can open (``DISPLAY``; ``Xvfb`` will do)::

    python docs/make_napari_screenshots.py [THEME]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PICTURES = Path(__file__).parent / "images"
SIZE = (1500, 1000)
SETTLED_MS = 600


def wait(milliseconds: int) -> None:
    """Let the window live for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    while not condition():
        wait(50)


def main(theme: str = "dark", pictures: Path = PICTURES) -> None:
    """Go through the work, and take a picture at each step."""
    import napari
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from qtpy.QtWidgets import QScrollArea

    from refinefuse_med.sample import make_sample
    from refinefuse_napari._controller import State

    viewer = napari.Viewer(title="RefineFuse-Med")
    viewer.theme = theme
    viewer.window.resize(*SIZE)
    _, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")
    scroll = panel.findChild(QScrollArea)
    controller = panel.session.controller
    pictures.mkdir(exist_ok=True)

    def picture(name: str, *seen: Any) -> None:
        wait(SETTLED_MS)
        dismiss()
        for widget in seen:
            scroll.ensureWidgetVisible(widget)
        wait(SETTLED_MS)
        viewer.screenshot(str(pictures / f"napari_{name}.png"), canvas_only=False, flash=False)

    def dismiss() -> None:
        for toast in viewer.window._qt_window.findChildren(NapariQtNotification):
            toast.close()

    def press(button: Any) -> None:
        getattr(button, "button", button).click()
        until(lambda: controller.state is not State.RUNNING)

    with tempfile.TemporaryDirectory() as folder:
        make_sample(Path(folder), dicom=True)
        panel.session.open([f"{folder}/MR", f"{folder}/PT"])
        until(lambda: controller.state is not State.RUNNING)
    until(lambda: panel.session.machine is not None)
    picture("inputs")

    press(panel.align.align)
    press(panel.check.compare["edges"])
    panel.align.hand.toggle.setChecked(True)
    picture("align", panel.align.hand)
    panel.align.hand.toggle.setChecked(False)

    press(panel.fuse.fuse)
    picture("panel")
    panel.check.swipe.setValue(50)
    picture("check", panel.check)
    viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
