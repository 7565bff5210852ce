"""Colour: windows, DICOM palettes, luminance and chroma."""

from __future__ import annotations

from refinefuse_med.colour.comparison import (
    checkerboard,
    difference,
    draw_edges,
    find_edges,
    find_edges_through,
)
from refinefuse_med.colour.contribution import paint_contribution, show_contribution
from refinefuse_med.colour.inverse import uncolour
from refinefuse_med.colour.luminance import chroma, luminance, recolour, to_bytes
from refinefuse_med.colour.painting import paint, painted_luminance, recolour_as_painted
from refinefuse_med.colour.palettes import (
    PALETTES,
    colourise,
    default_colormap,
    palette,
    resolve_colormap,
)
from refinefuse_med.colour.windows import UPTAKE_MODALITIES, Role, apply_window, auto_window

__all__ = [
    "PALETTES",
    "UPTAKE_MODALITIES",
    "Role",
    "apply_window",
    "auto_window",
    "checkerboard",
    "chroma",
    "colourise",
    "default_colormap",
    "difference",
    "draw_edges",
    "find_edges",
    "find_edges_through",
    "luminance",
    "paint",
    "paint_contribution",
    "painted_luminance",
    "palette",
    "recolour",
    "recolour_as_painted",
    "resolve_colormap",
    "show_contribution",
    "to_bytes",
    "uncolour",
]
