"""Small widgets that the sections are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from refinefuse_napari import _texts as texts
from refinefuse_napari._labels import Note

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "ActionButton",
    "Fold",
    "Section",
    "button",
    "choice",
    "row",
    "spin",
]


class ActionButton(QWidget):
    """A button, and beside it why it cannot be pressed.

    Parameters
    ----------
    text : str
    action : callable
    key : str
        Its tooltip and shortcut in `_texts`.
    checkable : bool
    """

    def __init__(
        self, text: str, action: Callable[[], None], key: str, *, checkable: bool = False
    ) -> None:
        super().__init__()
        self.button = button(text, action, key)
        self.button.setCheckable(checkable)
        self.reason = Note()
        self.reason.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.reason, 1)

    def allow(self, reason: str | None) -> None:
        """Enable the button, or say why not."""
        self.button.setEnabled(reason is None)
        self.reason.setText(reason or "")
        self.reason.setVisible(bool(reason) and reason != texts.BUSY)


class Fold(QWidget):
    """Rows that are hidden until they are asked for."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.toggle = QToolButton()
        self.toggle.setText(title)
        self.toggle.setCheckable(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.body = QWidget()
        self.form = form(self.body)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.toggle)
        layout.addWidget(self.body)
        self.toggle.toggled.connect(self._show)
        self._show(False)

    def _show(self, opened: bool) -> None:
        self.body.setVisible(opened)
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.toggle.setArrowType(arrow)


class Section(QGroupBox):
    """One step of the work."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.form = form(self)

    def refresh(self) -> None:
        """Show what the controller says now."""
        raise NotImplementedError


def form(parent: QWidget) -> QFormLayout:
    """A form that fits a narrow dock."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(6, 6, 6, 6)
    layout.setSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    return layout


def button(text: str, action: Callable[[], None], key: str) -> QPushButton:
    """A push button with its tooltip, which names its shortcut (see `_keys`)."""
    made = QPushButton(text)
    made.clicked.connect(lambda: action())
    tip = texts.TIPS[key]
    if shortcut := texts.SHORTCUTS.get(key):
        tip = f"{tip} ({shortcut.replace('Control', 'Ctrl').replace('-', '+')})"
    made.setToolTip(tip)
    made.setAccessibleDescription(tip)
    return made


def choice(config: type[BaseModel], name: str, chosen: Callable[[str], None]) -> QComboBox:
    """Offer the values that a field of a configuration can have."""
    box = QComboBox()
    for value in get_args(config.model_fields[name].annotation):
        box.addItem(value.replace("_", " "), value)
    box.setToolTip(texts.TIPS[name])
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.currentIndexChanged.connect(lambda index: chosen(box.itemData(index)))
    return box


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return made


def spin(low: float, high: float, step: float, unit: str, tip: str) -> QDoubleSpinBox:
    """A number that is told when it is whole, not at each digit."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setDecimals(2)
    box.setSuffix(f" {unit}")
    box.setToolTip(tip)
    box.setKeyboardTracking(False)
    box.setMinimumWidth(64)
    return box
