"""Inputs: which two scans, what they are, and whether they make sense together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QWidget

from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action
from refinefuse_napari._labels import Note
from refinefuse_napari._pair import facts_of
from refinefuse_napari._results import candidates, suggest_pair
from refinefuse_napari._widgets import Section, button, row, spin

if TYPE_CHECKING:
    from napari.layers import Image

    from refinefuse_napari._session import Session

__all__ = ["Inputs", "LayerBox"]


class LayerBox(QComboBox):
    """A choice of layers: that of the user once there is one, the suggested one before."""

    def __init__(self) -> None:
        super().__init__()
        self._picked: Image | None = None
        self.activated.connect(lambda index: self.pick(self.itemData(index)))

    def pick(self, layer: Image | None) -> None:
        """Choose a layer for good; None: leave it to the suggestion."""
        self._picked = layer
        self.setCurrentIndex(self.findData(layer))

    def offer(self, layers: list[Image], suggestion: Image | None) -> None:
        """Renew the choices, and tell nobody."""
        self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        wanted = self._picked if self._picked in layers else suggestion
        self.setCurrentIndex(-1 if wanted is None else layers.index(wanted))
        self.blockSignals(False)


class _Spacing(QWidget):
    """Asks for the voxel size of a layer that has none."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._layer: Image | None = None
        self.boxes = [spin(0.01, 100, 0.1, "mm", texts.TIPS["spacing"]) for _ in range(3)]
        self.button = button("Set", self.apply, "spacing")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (*self.boxes, self.button):
            layout.addWidget(widget)
        self.hide()

    def ask_for(self, layer: Image | None) -> None:
        """Ask for the voxel size of `layer`, or for none."""
        if layer is not self._layer:
            for box in self.boxes:
                box.setValue(1.0)
        self._layer = layer
        self.setVisible(layer is not None)

    def apply(self) -> None:
        """Give the layer its voxel size."""
        layer, size = self._layer, [box.value() for box in self.boxes]
        if layer is not None:
            # The first of the two ends the asking, and with it the layer and the boxes.
            layer.scale = size
            layer.units = ("mm",) * 3
            self._session.look_again()


class Inputs(Section):
    """Two combo boxes of layers, their facts, and what there is to say of the pair."""

    def __init__(self, session: Session) -> None:
        super().__init__(texts.INPUTS)
        self._session = session
        self._watched: list[Image] = []
        self.anatomical, self.functional = LayerBox(), LayerBox()
        self.facts = {"anatomical": Note(), "functional": Note()}
        for name, box in (("anatomical", self.anatomical), ("functional", self.functional)):
            box.setToolTip(texts.TIPS[name])
            box.currentIndexChanged.connect(self._choose)
            self.form.addRow(QLabel(name.capitalize()), box)
            self.form.addRow(self.facts[name])
        self.swap = button("Swap", self._swap, "swap")
        self.open_folder = button("Open folder…", self._open_folder, "open")
        self.open_file = button("Open file…", self._open_file, "open_file")
        self.form.addRow(row(self.open_folder, self.open_file, self.swap))
        self.words = Note()
        self.form.addRow(self.words)
        self.spacing = _Spacing(session)
        self.form.addRow(self.spacing)

    def offer(self) -> None:
        """Offer the layers that there are."""
        layers = candidates(self._session.viewer.layers)
        anatomical, functional = suggest_pair(layers)
        self.anatomical.offer(layers, anatomical)
        self.functional.offer(layers, functional)
        self._choose()

    def refresh(self) -> None:
        """Show what the controller says of the pair."""
        controller = self._session.controller
        marks = [f"✗ {w.text}" if w.stops else w.text for w in controller.words]
        self.words.setText("\n".join(marks))
        self.swap.setEnabled(self.anatomical.count() > 1)
        for opener in (self.open_folder, self.open_file):
            opener.setEnabled(controller.why_not(Action.OPEN) is None)
        lacking = None
        pair = (self._session.anatomical, self._session.functional)
        for name, layer, shot in zip(self.facts, pair, self._session.shots(), strict=True):
            self.facts[name].setText(facts_of(shot).line() if shot else "")
            self.facts[name].setVisible(shot is not None)
            if shot is not None and shot.needs_spacing and lacking is None:
                lacking = layer
        self.spacing.ask_for(lacking)

    def _choose(self) -> None:
        anatomical, functional = self.anatomical.currentData(), self.functional.currentData()
        for layer in self._watched:
            _watch(layer, self._moved, connect=False)
        self._watched = [layer for layer in (anatomical, functional) if layer is not None]
        for layer in self._watched:
            _watch(layer, self._moved, connect=True)
        self._session.choose(anatomical, functional)

    def _moved(self) -> None:
        self._session.look_again()

    def _swap(self) -> None:
        anatomical, functional = self.anatomical.currentData(), self.functional.currentData()
        self.anatomical.pick(functional)
        self.functional.pick(anatomical)

    def _open_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a DICOM folder")
        if folder:
            self._session.open([folder])

    def _open_file(self) -> None:
        files, _ = QFileDialog.getOpenFileNames(self, "Open scans")
        if files:
            self._session.open(files)


def _watch(layer: Image, moved: object, *, connect: bool) -> None:
    for name in ("scale", "translate", "rotate", "shear", "affine", "units", "data"):
        event = getattr(layer.events, name)
        (event.connect if connect else event.disconnect)(moved)
