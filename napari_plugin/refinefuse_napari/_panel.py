"""The "RefineFuse" panel: two layers in, a registered and a fused layer out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error, show_warning
from pydantic import BaseModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from refinefuse_med import config as configs
from refinefuse_med.errors import RefineFuseError, UsageError
from refinefuse_napari._bridge import snapshot
from refinefuse_napari._controller import Controller, Outcome, Request, State, device_in_words
from refinefuse_napari._results import candidates, is_result, look_at, show_result, suggest_pair
from refinefuse_napari._worker import Job, Work

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

__all__ = ["FusionPanel"]

DISCLAIMER: Final = "For research use, not for diagnosis."
_VERDICT_COLOURS: Final = {"ok": "#4caf50", "suspect": "#ff9800", "failed": "#f44336"}
_FORMATS: Final = {
    "as the anatomical scan": (),
    "NIfTI": ("nifti",),
    "DICOM": ("dicom",),
    "NIfTI and DICOM": ("nifti", "dicom"),
}


class _LayerBox(QComboBox):
    """A choice of layers: that of the user once there is one, the suggested one before."""

    def __init__(self) -> None:
        super().__init__()
        self._picked: Image | None = None
        self.activated.connect(lambda index: self.pick(self.itemData(index)))

    def pick(self, layer: Image) -> None:
        """Choose a layer for good."""
        self._picked = layer
        self.setCurrentIndex(self.findData(layer))

    def offer(self, layers: list[Image], suggestion: Image | None) -> None:
        """Renew the choices."""
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        wanted = self._picked if self._picked in layers else suggestion
        self.setCurrentIndex(-1 if wanted is None else layers.index(wanted))


class FusionPanel(QWidget):
    """Choose two layers, register, fuse, export.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are worked on.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = Controller(self._show_state)
        self.job = Job(self)
        self.job.progressed.connect(self._show_progress)
        self.job.ended.connect(self._end)
        self._build()
        self.reset_choices()
        self._show_state(State.IDLE)
        # torch takes seconds to load: the window does not wait for it.
        create_worker(device_in_words, _connect={"returned": self.device.setText})

    def reset_choices(self, event: object = None) -> None:
        """Offer the layers that there are; napari calls this when they change."""
        layers = candidates(self.viewer.layers)
        anatomical, functional = suggest_pair(layers)
        self.anatomical.offer(layers, anatomical)
        self.functional.offer(layers, functional)

    def config(self) -> configs.FusionConfig:
        """What the form says."""
        return configs.FusionConfig.model_validate(
            {
                "registration": {
                    "method": self.method.currentData(),
                    "force": self.force.isChecked(),
                },
                "colour": {
                    "colormap": self.colormap.currentData(),
                    "keep": self.keep.currentData(),
                },
                "engine": {"plane": self.plane.currentData()},
            }
        )

    def register(self) -> None:
        """Register the functional layer onto the anatomical one."""
        request = self._request()
        if request is not None:
            self._begin(lambda monitor: self.controller.register(request, monitor))

    def fuse(self) -> None:
        """Register, unless that is done, and fuse."""
        request = self._request()
        if request is not None:
            self._begin(lambda monitor: self.controller.fuse(request, monitor))

    def contribution(self) -> None:
        """Show what of the last fusion comes from which scan."""
        self._begin(self.controller.contribution)

    def export(self) -> None:
        """Write the last fusion."""
        out = self.folder.text().strip()
        if not out:
            show_error("no folder to write to; choose one beside Export")
            return
        formats = self.format.currentData()
        self._begin(lambda monitor: self.controller.export(Path(out), formats, monitor))

    def _request(self) -> Request | None:
        anatomical, functional = self.anatomical.currentData(), self.functional.currentData()
        try:
            if anatomical is None or functional is None or anatomical is functional:
                raise UsageError(
                    "two different layers are needed",
                    hint="open an anatomical and a functional scan",
                )
            return Request(snapshot(anatomical), snapshot(functional), self.config())
        except RefineFuseError as error:
            show_error(str(error))
            return None

    def _begin(self, work: Work) -> None:
        self.controller.begin()
        self.job.start(work)

    def _end(self, ended: Outcome | Exception) -> None:
        if isinstance(ended, Outcome):
            self._show_outcome(ended)
            self.controller.finish(ended)
            return
        self.controller.fail(ended)
        if self.controller.state is State.CANCELLED:
            return
        if isinstance(ended, RefineFuseError):
            show_error(str(ended))
        else:
            notification_manager.receive_error(type(ended), ended, ended.__traceback__)

    def _show_outcome(self, outcome: Outcome) -> None:
        for warning in outcome.warnings:
            show_warning(warning)
        if outcome.layer is None:
            return
        known = set(self.viewer.layers)
        layer = show_result(self.viewer.layers, outcome.layer)
        if layer not in known:
            self._bring_forward(layer)

    def _bring_forward(self, fresh: Image) -> None:
        """Hide what would show through a new result, or lies on another grid than it."""
        functional = self.functional.currentData()
        for layer in self.viewer.layers:
            if layer is not fresh and (layer is functional or is_result(layer)):
                layer.visible = False
        self.viewer.layers.selection.active = fresh
        look_at(self.viewer, fresh)

    def _show_state(self, state: State) -> None:
        running = state is State.RUNNING
        for button in (self.register_button, self.fuse_button):
            button.setEnabled(not running)
        for button in (self.contribution_button, self.export_button):
            button.setEnabled(not running and self.controller.result is not None)
        self.cancel_button.setEnabled(running)
        if running:
            self._show_progress("starting", 0.0)
            return
        self.progress.setValue(100 if state is State.DONE else 0)
        self.progress.setFormat(state.value)
        outcome = self.controller.outcome
        self.verdict.setText(outcome.summary if outcome else "")
        verdict = "failed" if state is State.FAILED else outcome and outcome.verdict
        colour = _VERDICT_COLOURS.get(verdict or "")
        self.verdict.setStyleSheet(f"color: {colour}" if colour else "")

    def _show_progress(self, stage: str, fraction: float) -> None:
        self.progress.setValue(round(100 * fraction))
        self.progress.setFormat(f"{stage} %p%")

    def _cancel(self) -> None:
        self.job.cancel()
        self.cancel_button.setEnabled(False)
        self.progress.setFormat("stopping")

    def _choose_folder(self) -> None:
        parent = QFileDialog.getExistingDirectory(self, "Make the result folder in")
        if parent:
            self.folder.setText(str(Path(parent) / "fused"))

    def _build(self) -> None:
        self.anatomical, self.functional = _LayerBox(), _LayerBox()
        self.method = _choice(configs.RegistrationConfig, "method")
        self.colormap = _choice(configs.ColourConfig, "colormap")
        self.keep = _choice(configs.ColourConfig, "keep")
        self.plane = _choice(configs.EngineConfig, "plane")
        self.force = QCheckBox("force, though judged failed")
        self.device = QLabel("looking for a GPU")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Anatomical", self.anatomical)
        form.addRow("Functional", self.functional)
        form.addRow("Registration", self.method)
        form.addRow("", self.force)
        form.addRow("Palette", self.colormap)
        form.addRow("Colours keep", self.keep)
        form.addRow("Plane", self.plane)
        form.addRow("Runs on", self.device)

        self.register_button = _button("Register", self.register)
        self.fuse_button = _button("Fuse", self.fuse)
        self.contribution_button = _button("Contribution", self.contribution)
        self.contribution_button.setToolTip(
            "what of each grey value comes from which scan: blue anatomical, orange functional"
        )
        self.cancel_button = _button("Cancel", self._cancel)
        self.progress = QProgressBar()
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        self.folder = QLineEdit()
        self.folder.setPlaceholderText("a new folder")
        self.format = QComboBox()
        for text, formats in _FORMATS.items():
            self.format.addItem(text, formats)
        self.export_button = _button("Export", self.export)
        export = QFormLayout()
        export.addRow("Folder", _row(self.folder, _button("…", self._choose_folder)))
        export.addRow("Format", _row(self.format, self.export_button))
        exports = QGroupBox("Export")
        exports.setLayout(export)

        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(_row(self.register_button, self.fuse_button))
        layout.addWidget(_row(self.contribution_button, self.cancel_button))
        layout.addWidget(self.progress)
        layout.addWidget(self.verdict)
        layout.addWidget(exports)
        layout.addWidget(QLabel(DISCLAIMER))
        layout.addStretch()


def _choice(config: type[BaseModel], name: str) -> QComboBox:
    """Offer the values that a field of a configuration can have."""
    box = QComboBox()
    field = config.model_fields[name]
    for value in get_args(field.annotation):
        box.addItem(value.replace("_", " "), value)
    box.setToolTip(field.description or "")
    return box


def _button(text: str, action: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.clicked.connect(lambda: action())
    return button


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
