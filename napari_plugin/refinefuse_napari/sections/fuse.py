"""Fuse: how, a live slice, and the whole volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit

from refinefuse_med import config as configs
from refinefuse_med.errors import CancelledError, RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action
from refinefuse_napari._cursor import shown_index, view_of
from refinefuse_napari._estimate import memory_needed, memory_words, time_words
from refinefuse_napari._pair import facts_of
from refinefuse_napari._preview import Previewer, plane_across
from refinefuse_napari._results import drop_views
from refinefuse_napari._widgets import ActionButton, Fold, Section, choice, note
from refinefuse_napari._work import Outcome, fuse
from refinefuse_napari._worker import Latest

if TYPE_CHECKING:
    from refinefuse_napari._session import Session
    from refinefuse_napari._settings import Settings

__all__ = ["Fuse"]


class Fuse(Section):
    """Options of the fusion, the live preview, and the run."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__(texts.FUSE)
        self._session = session
        self._previewer = Previewer(session.models)
        self._latest = Latest(parent=self)
        self._latest.came.connect(self._show_preview)
        self._build()
        self.colormap.setCurrentIndex(self.colormap.findData(settings.colormap))
        self.device.setCurrentText(settings.device)
        session.viewer.dims.events.connect(self._view_moved)

    def refresh(self) -> None:
        """Say what can be done, and what it will cost."""
        controller = self._session.controller
        self.fuse.allow(controller.why_not(Action.FUSE))
        self.preview.allow(self._why_no_preview())
        shots = self._session.shots()
        facts = [facts_of(shot) for shot in shots if shot is not None]
        planes = 3 if self.plane.currentData() == "triplanar" else 1
        voxels = facts[0].voxels if len(facts) == 2 else None
        self.device_words.setText(time_words(self._session.machine, voxels, planes))
        self.memory.setVisible(len(facts) == 2)
        if len(facts) == 2:
            text, short = memory_words(memory_needed(facts[0], facts[1]))
            self.memory.setText(text)
            self.memory.setStyleSheet("font-weight: bold" if short else "")
        self._ask_preview()

    @property
    def is_previewing(self) -> bool:
        """Whether a preview is being made."""
        return self._latest.busy

    def run(self) -> None:
        """Fuse the volume; register before, unless that is done."""
        try:
            request = self._session.request()
        except RefineFuseError as error:
            self._session.tell(error)
            return
        self._latest.drop()
        known = self._session.controller.known(request.config.registration)
        models = self._session.models
        self._session.run(Action.FUSE, lambda monitor: fuse(request, known, models, monitor))

    def _build(self) -> None:
        def set_colour(name: str) -> Callable[[object], None]:
            return lambda value: self._session.option("colour", name, value)

        def set_engine(name: str) -> Callable[[object], None]:
            return lambda value: self._session.option("engine", name, value)

        self._asked: tuple[object, ...] | None = None
        self.plane = choice(configs.EngineConfig, "plane", set_engine("plane"))
        self.colormap = choice(configs.ColourConfig, "colormap", set_colour("colormap"))
        self.form.addRow("Plane", self.plane)
        self.form.addRow("Palette", self.colormap)

        more = Fold("More")
        self.windows = {
            role: _window(set_colour(f"{role}_window")) for role in ("anatomical", "functional")
        }
        for role, line in self.windows.items():
            more.form.addRow(f"Window, {role}", line)
        self.keep = choice(configs.ColourConfig, "keep", set_colour("keep"))
        more.form.addRow("Colours keep", self.keep)
        self.device = QComboBox()
        self.device.setEditable(True)
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.device.setToolTip(texts.TIPS["device"])
        self.device.currentTextChanged.connect(set_engine("device"))
        more.form.addRow("Device", self.device)
        self.weights = QLineEdit()
        self.weights.setPlaceholderText("those of the package")
        self.weights.setToolTip(texts.TIPS["weights"])
        set_model = set_engine("model")
        self.weights.editingFinished.connect(
            lambda: set_model(Path(self.weights.text()) if self.weights.text().strip() else None)
        )
        more.form.addRow("Weights", self.weights)
        self.force = QCheckBox("go on, though judged failed")
        self.force.setToolTip(texts.TIPS["force"])
        self.force.toggled.connect(
            lambda on: self._session.option("registration", "force", bool(on))
        )
        more.form.addRow("Force", self.force)
        self.form.addRow(more)

        self.preview = ActionButton("Live preview", self._toggle, "preview", checkable=True)
        self.fuse = ActionButton("Fuse", self.run, "fuse")
        self.device_words, self.memory = note(texts.LOOKING), note()
        for widget in (self.preview, self.fuse, self.device_words, self.memory):
            self.form.addRow(widget)

    def _toggle(self) -> None:
        if self.preview.button.isChecked():
            self._asked = None
            self._ask_preview()
            return
        self._latest.drop()
        drop_views(self._session.viewer.layers, {"preview"})

    def _why_no_preview(self) -> str | None:
        """Why there can be no preview."""
        controller, session = self._session.controller, self._session
        alignment = controller.alignment
        if alignment is None:
            return controller.why_not(Action.PREVIEW)
        axis = view_of(session.viewer.dims).normal
        if axis is None:
            return texts.VIEW_IN_2D
        wanted = self.plane.currentData()
        if wanted not in ("triplanar", plane_across(alignment, axis)):
            return texts.TURN_VIEW.format(wanted)
        return None

    def _view_moved(self, event: object = None) -> None:
        if self.preview.button.isChecked():
            self.preview.allow(self._why_no_preview())
            self._ask_preview()

    def _ask_preview(self) -> None:
        controller, session = self._session.controller, self._session
        alignment = controller.alignment
        busy = controller.why_not(Action.PREVIEW)
        if not self.preview.button.isChecked() or busy or self._why_no_preview():
            return
        view, layer = view_of(session.viewer.dims), session.anatomical
        axis = view.normal
        if axis is None or layer is None or alignment is None:
            return
        index = round(float(shown_index(layer, view)[axis]))
        if not 0 <= index < layer.data.shape[axis]:
            return
        try:
            config = session.config()
        except RefineFuseError:
            return
        asked = (id(alignment), config.model_dump_json(), axis, index)
        if asked != self._asked:
            self._asked = asked
            self._latest.ask(
                lambda monitor: self._previewer.fuse_slice(alignment, config, axis, index, monitor)
            )

    def _show_preview(self, ended: object) -> None:
        if isinstance(ended, Outcome) and ended.layer is not None:
            if self.preview.button.isChecked():
                self._session.show(ended)
        elif isinstance(ended, Exception) and not isinstance(ended, CancelledError):
            self.preview.button.setChecked(False)
            self._session.tell(ended)


def _window(chosen: Callable[[object], None]) -> QLineEdit:
    """LOW, HIGH; empty: auto."""
    line = QLineEdit()
    line.setPlaceholderText("auto")
    line.setToolTip(texts.TIPS["window"])

    def tell() -> None:
        parts = line.text().replace(",", " ").split()
        chosen(tuple(parts) if parts else "auto")

    line.editingFinished.connect(tell)
    return line
