"""``python -m refinefuse_napari [INPUTS...]``: napari with the panel, and the inputs opened."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(inputs: list[str]) -> None:
    """Open napari with the panel, read the inputs, and stay until it is closed."""
    import napari
    from qtpy.QtCore import QTimer

    viewer = napari.Viewer(title="RefineFuse-Med")
    _, panel = viewer.window.add_plugin_dock_widget("refinefuse-med", "RefineFuse")
    # Once the window is up, so that what is wrong with an input is told in it.
    QTimer.singleShot(0, lambda: panel.session.open(inputs))
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1:])
