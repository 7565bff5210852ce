"""How napari is to display scans."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.utils import Colormap

__all__ = ["expect_oblique_layers", "palette_colormap"]


def expect_oblique_layers() -> None:
    """Keep napari from warning at each slice of each oblique layer.

    It says that 2D views drop what leads out of the slice. The panel says so once, in its own
    words, and whatever reads a place off such a view follows it (see `_cursor`).
    """
    warnings.filterwarnings("ignore", message="Non-orthogonal slicing", category=UserWarning)


def palette_colormap(name: str) -> Colormap:
    """A palette as napari knows colormaps; grey for ``none``."""
    from napari.utils import Colormap
    from napari.utils.colormaps import ensure_colormap

    from refinefuse_med.colour import palette

    if name == "none":
        return ensure_colormap("gray")
    return Colormap(palette(name).numpy(), name=name, display_name=name.replace("_", " "))
