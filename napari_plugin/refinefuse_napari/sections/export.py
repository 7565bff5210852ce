"""Export: the fusion as a folder, and the views as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit

from refinefuse_med.config import OutputConfig
from refinefuse_med.errors import RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action
from refinefuse_napari._fusing import export
from refinefuse_napari._screenshots import save_triplet
from refinefuse_napari._settings import remember_deidentify
from refinefuse_napari._widgets import ActionButton, Section, button, row

if TYPE_CHECKING:
    from refinefuse_napari._session import Session
    from refinefuse_napari._settings import Settings

__all__ = ["Export"]

_FORMATS = {
    "as the anatomical scan": (),
    "NIfTI": ("nifti",),
    "DICOM": ("dicom",),
    "NIfTI and DICOM": ("nifti", "dicom"),
}


class Export(Section):
    """Folder, format, report, privacy; the three planes as a picture."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__(texts.EXPORT)
        self._session = session
        self._key = settings.key
        self.folder = QLineEdit(settings.new_folder())
        self.folder.setPlaceholderText("a new folder")
        self.folder.setToolTip(texts.TIPS["folder"])
        self.folder.textChanged.connect(self.refresh)
        self.browse = button("…", self._browse, "browse")
        self.format = QComboBox()
        self.format.setToolTip(texts.TIPS["format"])
        for text, formats in _FORMATS.items():
            self.format.addItem(text, formats)
        self.report = QCheckBox("preview and report")
        self.report.setToolTip(texts.TIPS["report"])
        self.report.setChecked(True)
        self.deidentify = QCheckBox("de-identify")
        self.deidentify.setToolTip(texts.TIPS["deidentify"])
        self.deidentify.setChecked(settings.deidentify)
        self.deidentify.toggled.connect(remember_deidentify)
        self.export = ActionButton("Export", self.run, "export")
        self.screenshots = ActionButton("Save the three planes…", self._screenshots, "screenshots")
        self.form.addRow("Folder", row(self.folder, self.browse))
        self.form.addRow("Format", self.format)
        self.form.addRow("", self.report)
        self.form.addRow("", self.deidentify)
        self.form.addRow(self.export)
        self.form.addRow(self.screenshots)

    def refresh(self) -> None:
        """Say what can be done."""
        reason, folder = self._session.controller.why_not(Action.EXPORT), self.folder.text().strip()
        if reason is None and not folder:
            reason = texts.NO_FOLDER
        elif reason is None and Path(folder).exists():
            reason = texts.FOLDER_EXISTS
        self.export.allow(reason)
        self.screenshots.allow(self._session.controller.why_not(Action.COMPARE))

    def run(self) -> None:
        """Write the fusion."""
        fusion, out = self._session.controller.fusion, Path(self.folder.text().strip())
        pictures = self.report.isChecked()
        config = OutputConfig(
            formats=self.format.currentData(),
            preview=pictures,
            report=pictures,
            deidentify=self.deidentify.isChecked(),
            key=self._key,
        )
        if fusion is not None:
            self._session.run(Action.EXPORT, lambda monitor: export(fusion, out, config, monitor))

    def _browse(self) -> None:
        parent = QFileDialog.getExistingDirectory(self, "Make the result folder in")
        if parent:
            self.folder.setText(str(Path(parent) / "fused"))

    def _screenshots(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save picture", "planes.png", "PNG (*.png)")
        if not path:
            return
        try:
            save_triplet(self._session.viewer, Path(path))
        except RefineFuseError as error:
            self._session.tell(error)
