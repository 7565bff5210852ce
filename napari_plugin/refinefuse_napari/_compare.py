"""Pictures that show whether an alignment is right: checkerboard, edges, the classic overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._bridge import on_grid_of
from refinefuse_napari._outcome import Alignment, Outcome, provenance
from refinefuse_napari._parts import explicit_windows, slab_of

if TYPE_CHECKING:
    import torch

    from refinefuse_med.config import ColourConfig

__all__ = ["COMPARISONS", "Comparison", "compare"]

Comparison = Literal["checkerboard", "edges", "blend"]
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)

_SLAB: Final = 16
"""Slices across the first axis of the volumes that are shown at a time."""

_NAMES: Final = {"checkerboard": "checkerboard", "edges": "edges", "blend": "classic overlay"}


def compare(
    kind: Comparison, alignment: Alignment, config: ColourConfig, monitor: Monitor = SILENT
) -> Outcome:
    """Make one of the pictures, as a colour layer on the anatomical grid."""
    import torch

    from refinefuse_med import colour
    from refinefuse_med.pipeline import show_pair
    from refinefuse_med.volume import grid_of, like

    monitor.update("comparing", 0.0)
    pair = alignment.pair
    config = explicit_windows(pair, config)
    spacing = grid_of(pair.fixed).spacing_mm
    edges = _edges(alignment, config, monitor) if kind == "edges" else None
    size = pair.fixed.shape[1]
    shown = torch.empty((3, *pair.fixed.shape[1:]), dtype=torch.uint8)
    starts = range(0, size, _SLAB)
    for start in monitor.watch("comparing", starts, len(starts)):
        here = slice(start, min(start + _SLAB, size))
        slab = slab_of(pair, 0, start, here.stop - start)
        both = show_pair(*slab, config)
        grey, colours = colour.to_bytes(both.grey), both.rgb
        if kind == "checkerboard":
            picture = colour.checkerboard(grey, colours, spacing, first=start)
        elif edges is not None:
            picture = colour.draw_edges(edges[here], colours)
        else:
            mean = ((grey.short() + colours) // 2).byte()
            picture = torch.where(slab.field_of_view, mean, grey)
        shown[:, here] = picture
    request = alignment.request
    layer = on_grid_of(
        request.anatomical,
        like(pair.fixed, shown),
        name=f"{request.name}: {_NAMES[kind]}",
        metadata=provenance(kind, request, pair.record),
    )
    return Outcome(_NAMES[kind], layer=layer)


def _edges(alignment: Alignment, config: ColourConfig, monitor: Monitor) -> torch.Tensor:
    """Of the whole volume at once: an edge goes on from slab to slab."""
    from refinefuse_med import colour
    from refinefuse_med.volume import grid_of

    fixed = alignment.pair.fixed
    window = config.anatomical_window
    assert window != "auto"
    grey = colour.apply_window(fixed.as_tensor()[0], window)
    return colour.find_edges(grey, grid_of(fixed).spacing_mm, monitor)
