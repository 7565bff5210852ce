"""Texts of the panel: they wrap, and none of their lines is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

__all__ = ["Chip", "Note"]

_CHIPS: Final = {"ok": "#2e7d32", "suspect": "#b25f00", "failed": "#c62828"}
"""White on these can be read in the dark theme and in the light one."""


class Note(QLabel):
    """A text that wraps, and is as high as its lines; forms within forms give it one too few."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str) -> None:
        """Say something else."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setMinimumHeight(self.heightForWidth(self.width()) if self.text() else 0)


class Chip(Note):
    """A verdict, coloured; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.hide()

    def say(self, text: str, verdict: str | None) -> None:
        """Show a text in the colour of a verdict."""
        colour = _CHIPS.get(verdict or "")
        style = f"background: {colour}; color: white; border-radius: 3px; padding: 4px;"
        self.setStyleSheet(f"QLabel {{ {style} }}" if colour else "")
        self.setText(text)
        self.setVisible(bool(text))
