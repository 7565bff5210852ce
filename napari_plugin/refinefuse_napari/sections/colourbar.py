"""The colours of the functional scan, and the values that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from refinefuse_napari._outcome import Scale

__all__ = ["ColourBar"]

_STOPS = 32
_BAR_HEIGHT = 14


class ColourBar(QWidget):
    """A bar of the palette with its lowest, middle and highest value."""

    def __init__(self) -> None:
        super().__init__()
        self._scale: Scale | None = None
        self.setMinimumHeight(_BAR_HEIGHT + 4 + self.fontMetrics().height())
        self.hide()

    def show_scale(self, scale: Scale | None) -> None:
        """Draw this scale, or nothing."""
        self._scale = scale
        self.setVisible(scale is not None)
        if scale is not None:
            self.setToolTip(scale.in_words())
            self.setAccessibleName(scale.in_words())
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        if self._scale is None:
            return
        scale = self._scale
        painter = QPainter(self)
        bar = QRect(0, 0, self.width() - 1, _BAR_HEIGHT)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        last = len(scale.colours) - 1
        for stop in range(_STOPS + 1):
            red, green, blue = scale.colours[round(stop / _STOPS * last)]
            gradient.setColorAt(stop / _STOPS, QColor.fromRgbF(red, green, blue))
        painter.fillRect(bar, gradient)
        painter.setPen(self.palette().windowText().color())
        painter.drawRect(bar)
        middle = (scale.low + scale.high) / 2
        below = QRect(0, _BAR_HEIGHT + 2, self.width(), self.fontMetrics().height() + 2)
        sides = Qt.AlignmentFlag
        for value, side in (
            (f"{scale.low:.3g}", sides.AlignLeft),
            (f"{middle:.3g}", sides.AlignHCenter),
            (f"{scale.high:.3g} {scale.units}", sides.AlignRight),
        ):
            painter.drawText(below, int(side.value) if hasattr(side, "value") else side, value)
        painter.end()
