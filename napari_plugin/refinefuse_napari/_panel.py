"""The "RefineFuse" panel: inputs, align, fuse, check, export, in the order of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from qtpy.QtWidgets import (
    QFrame,
    QLabel,
    QProgressBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import State
from refinefuse_napari._display import expect_oblique_layers
from refinefuse_napari._estimate import Eta
from refinefuse_napari._keys import bind_keys
from refinefuse_napari._labels import Note
from refinefuse_napari._session import Session
from refinefuse_napari._settings import read_settings
from refinefuse_napari._widgets import Fold, Section, button, row
from refinefuse_napari.sections.align import Align
from refinefuse_napari.sections.check import Check
from refinefuse_napari.sections.export import Export
from refinefuse_napari.sections.fuse import Fuse
from refinefuse_napari.sections.inputs import Inputs
from refinefuse_napari.sections.readout import Readout

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["FusionPanel"]


class FusionPanel(QWidget):
    """Two scans in, a fused series out.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are worked on.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        self._docked = False
        super().__init__()
        expect_oblique_layers()
        self.session = Session(napari_viewer, self)
        self._eta = Eta()
        self.inputs = Inputs(self.session)
        self.align = Align(self.session)
        settings = read_settings()
        self.fuse = Fuse(self.session, settings)
        self.check = Check(self.session)
        self.readout = Readout(self.session)
        self.export = Export(self.session, settings)
        self._build()
        self.setAcceptDrops(True)
        bind_keys(
            napari_viewer,
            self,
            {
                "align": self.align.align.button,
                "fuse": self.fuse.fuse.button,
                "preview": self.fuse.preview.button,
                "checkerboard": self.check.compare["checkerboard"],
                "export": self.export.export.button,
                "cancel": self.cancel,
            },
        )
        self.session.changed.connect(self._refresh)
        self.session.job.progressed.connect(self._show_progress)
        self.reset_choices()

    @property
    def sections(self) -> tuple[Section, ...]:
        """In the order of work."""
        return (self.inputs, self.align, self.fuse, self.check, self.export)

    def reset_choices(self, event: object = None) -> None:
        """Offer the layers that there are; napari calls this when they change."""
        layers = self.session.viewer.layers
        self.session.controller.forget_all_but({str(layer.unique_id) for layer in layers})
        self.align.landmarks.offer()
        self.inputs.offer()  # which tells the session, and so refreshes the panel

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped with our reader, without asking which one."""
        event.acceptProposedAction()
        self.session.open([url.toLocalFile() for url in event.mimeData().urls()])

    def event(self, event: QEvent) -> bool:
        """Go, with everything that belongs to the panel, when napari takes it out of its dock.

        napari lets go of a closed panel without deleting it.
        """
        if event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parentWidget() is None:
                self.session.close()
                self.deleteLater()
            self._docked = self.parentWidget() is not None
        return bool(super().event(event))

    def _refresh(self) -> None:
        for section in self.sections:
            section.refresh()
        self.readout.refresh()
        controller = self.session.controller
        running = controller.state is State.RUNNING
        self.cancel.setEnabled(running)
        self.details.setVisible(controller.error is not None)
        outcome = controller.outcome
        self.said.setText(outcome.summary if outcome else "")
        # What the last work came to is not said of the one that is running.
        self.said.setVisible(bool(outcome) and controller.state not in (State.IDLE, State.RUNNING))
        if running:
            return
        self.progress.setValue(100 if controller.state is State.DONE else 0)
        self.progress.setFormat(texts.STATES[controller.state])

    def _show_progress(self, stage: str, fraction: float) -> None:
        if self.session.controller.state is not State.RUNNING or not self.cancel.isEnabled():
            return
        left = self._eta.seconds_left(stage, fraction)
        rest = "" if left is None else texts.TIME_LEFT.format(texts.duration(left))
        self.progress.setFormat(f"{texts.STAGES.get(stage, stage)} %p%{rest}")
        self.progress.setValue(round(100 * fraction))  # which draws at once

    def _cancel(self) -> None:
        self.session.job.cancel()
        self.cancel.setEnabled(False)
        self.progress.setFormat(texts.STOPPING)

    def _build(self) -> None:
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self.cancel = button("Cancel", self._cancel, "cancel")
        self.said = Note()
        self.details = button(
            "Copy details",
            lambda: QGuiApplication.clipboard().setText(self.session.details),
            "details",
        )
        steps = QWidget()
        column = QVBoxLayout(steps)
        column.setContentsMargins(2, 2, 2, 2)
        for section in self.sections:
            column.addWidget(section)
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(steps)
        # Wide enough for the widest row in whatever font and scale, those that are folded away
        # too: it never scrolls sideways.
        for fold in steps.findChildren(Fold):
            fold.setMinimumWidth(fold.body.minimumSizeHint().width())
        bar = scroll.verticalScrollBar().sizeHint().width()
        scroll.setMinimumWidth(steps.minimumSizeHint().width() + bar)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.readout)
        layout.addWidget(row(self.progress, self.cancel))
        layout.addWidget(self.said)
        layout.addWidget(self.details)
        layout.addWidget(QLabel(texts.DISCLAIMER))
        self.setMinimumWidth(340)
