"""The values of both scans under the cursor, and the colour bar: wanted at every step."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from refinefuse_napari import _texts as texts
from refinefuse_napari._cursor import shown_index, view_of
from refinefuse_napari._labels import Note
from refinefuse_napari._values import values_at
from refinefuse_napari.sections.colourbar import ColourBar

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from refinefuse_napari._session import Session

__all__ = ["Readout"]


class Readout(QWidget):
    """Stands below the sections."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.values = Note(texts.NO_VALUES)
        self.bar = ColourBar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.values)
        column.addWidget(self.bar)
        _follow_cursor(session.viewer, self)

    def refresh(self) -> None:
        """Show the scale of the pair that is chosen."""
        controller = self._session.controller
        self.bar.show_scale(controller.scale)
        self.values.setText(texts.MOVE_CURSOR if controller.alignment else texts.NO_VALUES)

    def cursor_moved(self, viewer: Viewer, event: object = None) -> None:
        """Say what both scans hold there."""
        alignment, layer = self._session.controller.alignment, self._session.anatomical
        if alignment is None or layer is None:
            return
        view = view_of(viewer.dims)
        if view.normal is None:
            return
        place = viewer.cursor.position[-3:]
        text = values_at(alignment, shown_index(layer, view, place))
        self.values.setText(text or texts.MOVE_CURSOR)


def _follow_cursor(viewer: Viewer, readout: Readout) -> None:
    """Call `readout` when the cursor moves, as long as it lives."""
    known = weakref.ref(readout)

    def moved(viewer: Viewer, event: object) -> None:
        alive = known()
        if alive is not None:
            alive.cursor_moved(viewer, event)

    callbacks = viewer.mouse_move_callbacks
    callbacks.append(moved)
    readout.destroyed.connect(lambda: callbacks.remove(moved) if moved in callbacks else None)
