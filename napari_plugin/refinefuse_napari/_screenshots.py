"""The three planes of what is shown, side by side in one picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from refinefuse_med.io import atomic_file
from refinefuse_napari import _texts as texts

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer
    from numpy.typing import NDArray

__all__ = ["save_triplet", "three_planes"]

_ORDERS: Final = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""Axes (inferior, posterior, left) of the axial, the coronal and the sagittal view."""

_GAP: Final = 8
_FOOTER: Final = 34
_FONT: Final = 20


def three_planes(viewer: Viewer) -> list[NDArray[np.uint8]]:
    """Pictures of the canvas in the axial, the coronal and the sagittal view, RGBA."""
    pictures = []
    with _view_kept(viewer):
        viewer.dims.ndisplay = 2
        extra = tuple(range(viewer.dims.ndim - 3))
        for order in _ORDERS:
            viewer.dims.order = (*extra, *(len(extra) + axis for axis in order))
            viewer.reset_view()
            pictures.append(np.asarray(viewer.screenshot(canvas_only=True, flash=False)))
    return pictures


def save_triplet(viewer: Viewer, path: Path) -> Path:
    """Write the three planes as one PNG file, with the line that says what it is for.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    pictures = [picture[..., :3] for picture in three_planes(viewer)]
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height + _FOOTER))
    left = 0
    for picture in pictures:
        sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, 0))
        left += picture.shape[1] + _GAP
    font = ImageFont.load_default(_FONT)
    ImageDraw.Draw(sheet).text((_GAP, height + 4), texts.DISCLAIMER, fill="white", font=font)
    with atomic_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path


@contextmanager
def _view_kept(viewer: ViewerModel) -> Iterator[None]:
    dims, camera = viewer.dims, viewer.scene.camera
    before = dims.order, dims.ndisplay, camera.center, camera.zoom, camera.angles
    try:
        yield
    finally:
        dims.ndisplay = before[1]
        dims.order = before[0]
        camera.center, camera.zoom, camera.angles = before[2:]
