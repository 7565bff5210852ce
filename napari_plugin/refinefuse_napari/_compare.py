"""Pictures that show whether an alignment is right: checkerboard, edges, the classic overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._bridge import on_grid_of
from refinefuse_napari._work import Alignment, Outcome, provenance

if TYPE_CHECKING:
    from refinefuse_med.config import ColourConfig

__all__ = ["COMPARISONS", "Comparison", "compare"]

Comparison = Literal["checkerboard", "edges", "blend"]
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)

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
    both = show_pair(pair.fixed, pair.registered, pair.field_of_view, config)
    grey, colours = both.grey, both.rgb
    monitor.update("comparing", 0.4)
    spacing = grid_of(pair.fixed).spacing_mm
    if kind == "checkerboard":
        picture = colour.checkerboard(grey, colours, spacing)
    elif kind == "edges":
        picture = colour.draw_edges(colour.find_edges(grey, spacing, monitor), colours)
    else:
        picture = torch.where(pair.field_of_view, (grey + colours) / 2, grey)
    shown = colour.to_bytes(picture)
    monitor.update("comparing", 0.9)
    request = alignment.request
    layer = on_grid_of(
        request.anatomical,
        like(pair.fixed, shown),
        name=f"{request.name}: {_NAMES[kind]}",
        metadata=provenance(kind, request, pair.record),
    )
    return Outcome(_NAMES[kind], layer=layer)
