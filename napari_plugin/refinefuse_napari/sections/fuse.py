"""Fuse: how, and the whole volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit

from refinefuse_med import config as configs
from refinefuse_med.errors import RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._collector import sweep
from refinefuse_napari._controller import Action
from refinefuse_napari._estimate import memory_needed, memory_words, time_words
from refinefuse_napari._fusing import fuse
from refinefuse_napari._labels import Note
from refinefuse_napari._pair import facts_of
from refinefuse_napari._results import VIEWS, drop_views
from refinefuse_napari._widgets import ActionButton, Fold, Section, choice, spin
from refinefuse_napari.sections.preview import LivePreview

if TYPE_CHECKING:
    from refinefuse_napari._session import Session
    from refinefuse_napari._settings import Settings

__all__ = ["Fuse"]


class Fuse(Section):
    """Options of the fusion, the live preview, and the run."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__(texts.FUSE)
        self._session = session
        self._is_short = False
        self._build()
        self.colormap.setCurrentIndex(self.colormap.findData(settings.colormap))
        self.device.setCurrentText(settings.device)

    def refresh(self) -> None:
        """Say what can be done, and what it will cost."""
        controller = self._session.controller
        self.fuse.allow(controller.why_not(Action.FUSE))
        shots = self._session.shots()
        facts = [facts_of(shot) for shot in shots if shot is not None]
        planes = 3 if self.plane.currentData() == "triplanar" else 1
        voxels = facts[0].voxels if len(facts) == 2 else None
        self.device_words.setText(time_words(self._session.machine, voxels, planes))
        self.memory.setVisible(len(facts) == 2)
        if len(facts) == 2:
            text, self._is_short = memory_words(memory_needed(facts[0], facts[1]))
            self.memory.setText(text)
            self.memory.setStyleSheet("font-weight: bold" if self._is_short else "")
        self.preview.refresh()

    def run(self) -> None:
        """Fuse the volume; register before, unless that is done."""
        try:
            request = self._session.request()
        except RefineFuseError as error:
            self._session.tell(error)
            return
        self.preview.drop()
        if self._is_short:
            # The former fusion makes way, and what can be made again at a click, although
            # nothing is left to export if this one is stopped.
            self._session.controller.let_go_of_fusion()
            drop_views(self._session.viewer.layers, VIEWS - {"preview"})
            sweep()
        known = self._session.controller.known(request.config.registration)
        models = self._session.models
        self._session.run(Action.FUSE, lambda monitor: fuse(request, known, models, monitor))

    def _build(self) -> None:
        def set_colour(name: str) -> Callable[[object], None]:
            return lambda value: self._session.option("colour", name, value)

        def set_engine(name: str) -> Callable[[object], None]:
            return lambda value: self._session.option("engine", name, value)

        self.plane = choice(configs.EngineConfig, "plane", set_engine("plane"))
        self.colormap = choice(configs.ColourConfig, "colormap", set_colour("colormap"))
        self.form.addRow("Plane", self.plane)
        self.form.addRow("Palette", self.colormap)
        self.local_contrast = spin(0, 100, 25, "%", texts.TIPS["local_contrast"])
        self.local_contrast.setDecimals(0)
        mix = set_engine("local_contrast")
        self.local_contrast.valueChanged.connect(lambda percent: mix(percent / 100))
        self.form.addRow("Local contrast", self.local_contrast)

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
        self.force = QCheckBox("though judged failed")
        self.force.setToolTip(texts.TIPS["force"])
        self.force.toggled.connect(
            lambda on: self._session.option("registration", "force", bool(on))
        )
        more.form.addRow("Force", self.force)
        self.form.addRow(more)

        self.preview = LivePreview(self._session, self.plane.currentData)
        self.fuse = ActionButton("Fuse", self.run, "fuse")
        self.device_words, self.memory = Note(texts.LOOKING), Note()
        for widget in (self.preview, self.fuse, self.device_words, self.memory):
            self.form.addRow(widget)


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
