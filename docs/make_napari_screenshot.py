"""Make ``images/napari_panel.png``: the sample MR and PET, fused in a real napari window.

Run it where a window can open (``DISPLAY``; ``Xvfb`` will do)::

    python docs/make_napari_screenshot.py
"""

from __future__ import annotations

from pathlib import Path

PICTURE = Path(__file__).parent / "images" / "napari_panel.png"
SIZE = (1400, 860)
TOASTS_GONE_MS = 6000


def main() -> None:
    """Open the sample, press Fuse, wait, take the picture."""
    import napari
    from qtpy.QtCore import QEventLoop, QTimer

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open_sample("refinefuse-med", "mr_pet")
    _, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")

    loop = QEventLoop()
    panel.session.job.ended.connect(lambda _: QTimer.singleShot(TOASTS_GONE_MS, loop.quit))
    QTimer.singleShot(0, panel.fuse.run)
    loop.exec()

    PICTURE.parent.mkdir(exist_ok=True)
    viewer.screenshot(str(PICTURE), canvas_only=False)
    viewer.close()


if __name__ == "__main__":
    main()
