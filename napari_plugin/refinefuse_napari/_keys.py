"""Keys that press buttons of the panel."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from refinefuse_napari import _texts as texts

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtCore import QObject
    from qtpy.QtWidgets import QPushButton

__all__ = ["bind_keys"]


def bind_keys(viewer: Viewer, owner: QObject, buttons: Mapping[str, QPushButton]) -> None:
    """Let the keys of `_texts` press these buttons, wherever in the window the focus is.

    Keys of napari's own and not shortcuts of Qt, which its canvas keeps to itself. They are
    given back when `owner` goes.
    """
    keys = [texts.SHORTCUTS[name] for name in buttons]
    for key, pressed in zip(keys, buttons.values(), strict=True):
        viewer.bind_key(key, _pressing(pressed), overwrite=True)

    def give_back() -> None:
        for key in keys:
            viewer.bind_key(key, None, overwrite=True)

    owner.destroyed.connect(give_back)


def _pressing(pressed: QPushButton) -> Callable[[Viewer], None]:
    known = weakref.ref(pressed)

    def press(viewer: Viewer) -> None:
        alive = known()
        if alive is not None:
            alive.click()

    return press
