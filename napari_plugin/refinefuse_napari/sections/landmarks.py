"""Landmarks: two points layers that mark the same places in both scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points
from qtpy.QtWidgets import QComboBox

from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action
from refinefuse_napari._cursor import shown_index, view_of
from refinefuse_napari._place import by_landmarks
from refinefuse_napari._results import show_alone
from refinefuse_napari._snapshot import placement_of
from refinefuse_napari._widgets import ActionButton, Fold

if TYPE_CHECKING:
    from napari.layers import Image

    from refinefuse_napari._session import Session

__all__ = ["Landmarks"]

_LANDMARKS_OF = "refinefuse_landmarks_of"
_SIZE_MM = 6.0
_COLOURS = {"anatomical": "cyan", "functional": "magenta"}


class Landmarks(Fold):
    """Choose or add two points layers, and align by them."""

    def __init__(self, session: Session, adjust: Callable[[Any], None]) -> None:
        super().__init__("Landmarks")
        self._session = session
        self._adjust = adjust
        self.boxes = {role: QComboBox() for role in _COLOURS}
        self.add = ActionButton("Add points layers", self.add_layers, "new_points")
        self.align = ActionButton("Align by landmarks", self.run, "landmarks")
        self.form.addRow(self.add)
        for role, box in self.boxes.items():
            box.currentIndexChanged.connect(self.refresh)
            self.form.addRow(f"On the {role}", box)
        self.form.addRow(self.align)
        session.viewer.layers.selection.events.active.connect(self._show_scan)

    def offer(self) -> None:
        """Offer the points layers that there are."""
        points = [x for x in self._session.viewer.layers if isinstance(x, Points) and x.ndim == 3]
        for number, box in enumerate(self.boxes.values()):
            before = box.currentData()
            box.blockSignals(True)
            box.clear()
            for layer in points:
                box.addItem(layer.name, layer)
            wanted = before if before in points else None
            if wanted is None and len(points) > number:
                wanted = points[number]
            box.setCurrentIndex(-1 if wanted is None else points.index(wanted))
            box.blockSignals(False)
        self.refresh()

    def refresh(self) -> None:
        """Say what can be done."""
        controller = self._session.controller
        reason = controller.why_not(Action.ADJUST)
        self.add.allow(reason)
        counts = [0 if layer is None else len(layer.data) for layer in self._layers()]
        enough = counts[0] == counts[1] >= 3
        if reason is None and not enough:
            reason = f"{texts.NO_POINTS} ({counts[0]} and {counts[1]} now)"
        self.align.allow(reason)

    def add_layers(self) -> None:
        """Add an empty points layer to each scan, placed as that is, and begin with the first."""
        session = self._session
        scans = {"anatomical": session.anatomical, "functional": session.functional}
        for role, scan in scans.items():
            if scan is not None:
                layer = self._points_on(scan, _COLOURS[role])
                session.viewer.add_layer(layer)
                self.boxes[role].setCurrentIndex(self.boxes[role].findData(layer))
        session.viewer.layers.selection.active = self.boxes["anatomical"].currentData()

    def _show_scan(self, event: Any) -> None:
        """Show the points layer selected and its scan alone, to be clicked in."""
        points, viewer = event.value, self._session.viewer
        of = None if points is None else points.metadata.get(_LANDMARKS_OF)
        scan = next((x for x in viewer.layers if str(x.unique_id) == of), None)
        if scan is not None:
            show_alone(viewer, scan, points)
            points.mode = "add"

    def run(self) -> None:
        """Align by the points."""
        fixed, moving = (
            np.array([layer.data_to_world(point) for point in layer.data])
            for layer in self._layers()
            if layer is not None
        )
        self._adjust(
            lambda request, known, monitor: by_landmarks(request, known, fixed, moving, monitor)
        )

    def _layers(self) -> list[Points | None]:
        return [box.currentData() for box in self.boxes.values()]

    def _points_on(self, scan: Image, colour: str) -> Points:
        layer = Points(
            ndim=3,
            name=f"landmarks {scan.name}",
            face_color=colour,
            # The voxels that napari takes the size in are those of the last axis.
            size=_SIZE_MM / float(abs(scan.scale[-1])),
            metadata={_LANDMARKS_OF: str(scan.unique_id)},
            **placement_of(scan),
        )
        layer.events.data.connect(self._changed)
        return layer

    def _changed(self, event: Any) -> None:
        """Put a point that was clicked where the view has shown the scan, see `_cursor`."""
        layer = event.source
        if event.action == "added" and len(event.data_indices) == 1:
            view, (index,) = view_of(self._session.viewer.dims), event.data_indices
            if view.normal is not None:
                clicked = layer.data_to_world(layer.data[index])
                layer.data[index] = shown_index(layer, view, clicked)
                layer.refresh()
        self.refresh()
