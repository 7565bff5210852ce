"""Check: whether the alignment is right, and what the fusion shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider

from refinefuse_med.errors import RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._compare import COMPARISONS, Comparison, compare
from refinefuse_napari._controller import Action
from refinefuse_napari._cursor import view_of
from refinefuse_napari._fusing import contribution
from refinefuse_napari._labels import Note
from refinefuse_napari._outcome import RECORD, Alignment, Outcome
from refinefuse_napari._results import find_result, show_result
from refinefuse_napari._swipe import swipe_layer
from refinefuse_napari._widgets import Section, button, row
from refinefuse_napari._worker import Latest, Work

if TYPE_CHECKING:
    from napari.layers import Image

    from refinefuse_napari._session import Session

__all__ = ["Check"]

_LABELS: dict[Comparison, str] = {
    "checkerboard": "Checkerboard",
    "edges": "Edges",
    "blend": "Classic overlay",
}


class Check(Section):
    """Views of the pair, and a swipe."""

    def __init__(self, session: Session) -> None:
        super().__init__(texts.CHECK)
        self._session = session
        self._followed: WeakKeyDictionary[Alignment, set[Comparison]] = WeakKeyDictionary()
        self._latest = Latest(parent=self)
        self._latest.came.connect(self._made_again)
        self.compare = {
            kind: button(_LABELS[kind], partial(self.show_view, kind), kind) for kind in COMPARISONS
        }
        self.contribution = button("Contribution", self._contribution, "contribution")
        self.reason = Note()
        self.swipe = _slider(texts.TIPS["swipe"], 100, self._swipe)
        self.opacity = _slider(texts.TIPS["opacity"], 100, self._set_opacity)
        checkerboard, edges, blend = self.compare.values()
        self.form.addRow(row(checkerboard, edges))
        self.form.addRow(row(blend, self.contribution))
        self.form.addRow("Swipe", self.swipe)
        self.form.addRow("Fused – classic", self.opacity)
        self.form.addRow(self.reason)

    def refresh(self) -> None:
        """Say what can be done."""
        controller = self._session.controller
        no_view, no_share = map(controller.why_not, (Action.COMPARE, Action.CONTRIBUTION))
        for view in self.compare.values():
            view.setEnabled(no_view is None)
        self.contribution.setEnabled(no_share is None)
        self.swipe.setEnabled(no_view is None and self._on_top() is not None)
        swipe = self._result("swipe")
        if swipe is None or not swipe.visible:
            self.swipe.blockSignals(True)
            self.swipe.setValue(self.swipe.maximum())
            self.swipe.blockSignals(False)
        no_blend = None if self._result("blend") else texts.NO_BLEND
        self.opacity.setEnabled(no_blend is None)
        self._explain(no_view, no_share, no_blend)
        self._follow()

    def _follow(self) -> None:
        """Make the views that are seen again, where the alignment is another than theirs."""
        alignment = self._session.controller.alignment
        if alignment is None or self._session.controller.why_not(Action.COMPARE):
            return
        for kind in COMPARISONS:
            layer = self._result(kind)
            followed = self._followed.setdefault(alignment, set())
            if layer is None or not layer.visible or kind in followed:
                continue
            if layer.metadata[RECORD] is alignment.pair.record:
                continue
            followed.add(kind)
            self._latest.ask(self._making(kind, alignment))
            return

    def _made_again(self, ended: object) -> None:
        if isinstance(ended, Outcome):
            self._session.show(ended)
        self._follow()

    def _making(self, kind: Comparison, alignment: Alignment) -> Work:
        config = self._session.options.config().colour
        return lambda monitor: compare(kind, alignment, config, monitor)

    def _explain(self, no_view: str | None, no_share: str | None, no_blend: str | None) -> None:
        """Say why something here cannot be done: one line where one reason stops all."""
        lines = [no_view] if no_view else []
        if not no_view:
            lines += [f"Contribution: {no_share}"] if no_share else []
            lines += [f"Fused – classic: {no_blend}"] if no_blend else []
        text = "\n".join(lines)
        self.reason.setText(text)
        self.reason.setVisible(bool(text) and text != texts.BUSY)

    def show_view(self, kind: Comparison) -> None:
        """Make one of the views, or show it again."""
        alignment = self._session.controller.alignment
        if alignment is None:
            return
        try:
            work = self._making(kind, alignment)
        except RefineFuseError as error:
            self._session.tell(error)
            return
        self._session.run(Action.COMPARE, work)

    def _contribution(self) -> None:
        fusion = self._session.controller.fusion
        if fusion is not None:
            self._session.run(Action.CONTRIBUTION, lambda monitor: contribution(fusion, monitor))

    def _result(self, kind: str) -> Image | None:
        """The result of a kind for the pair chosen."""
        pair = (self._session.anatomical, self._session.functional)
        if pair[0] is None or pair[1] is None:
            return None
        identities = (str(pair[0].unique_id), str(pair[1].unique_id))
        return find_result(self._session.viewer.layers, kind, identities)

    def _on_top(self) -> Image | None:
        """What is swiped over the anatomy."""
        controller = self._session.controller
        if controller.fusion is not None:
            return self._result("fused")
        return self._result("registered") if controller.alignment else None

    def _swipe(self, percent: int) -> None:
        source, swipe = self._on_top(), self._result("swipe")
        if source is None:
            return
        if percent == self.swipe.maximum():
            # Hidden: to remove a layer, napari collects all garbage of the process first.
            if swipe is not None:
                swipe.visible = False
            source.visible = True
            return
        across = view_of(self._session.viewer.dims).displayed[-1]
        is_seen = swipe is not None and swipe.visible
        shown = swipe_layer(source, across, percent / 100)
        layer = show_result(self._session.viewer.layers, shown)
        if not is_seen:
            self._session.bring_forward(layer)

    def _set_opacity(self, percent: int) -> None:
        blend, fused = self._result("blend"), self._result("fused")
        if blend is None:
            return
        if fused is not None:
            fused.visible = True
        blend.visible, blend.opacity = True, percent / 100


def _slider(tip: str, value: int, moved: Callable[[int], None]) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setValue(value)
    slider.setToolTip(tip)
    slider.valueChanged.connect(moved)
    return slider
