"""Pictures that show whether an alignment is right: checkerboard, edges, the classic overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._bridge import on_grid_of
from refinefuse_napari._preview import windows_of
from refinefuse_napari._work import Alignment, Outcome, provenance

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from refinefuse_med.config import ColourConfig

__all__ = ["COMPARISONS", "Comparison", "compare"]

Comparison = Literal["checkerboard", "edges", "blend"]
COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)

TILE_MM: Final = 24.0
EDGE_COLOUR: Final = (0, 255, 160)
_EDGE_WIDTH_MM: Final = 1.5
_STRONG_EDGES: Final = 70.0
"""Percentile of the gradients inside the body from which they are drawn."""
_NAMES: Final = {"checkerboard": "checkerboard", "edges": "edges", "blend": "classic overlay"}


def compare(
    kind: Comparison, alignment: Alignment, config: ColourConfig, monitor: Monitor = SILENT
) -> Outcome:
    """Make one of the pictures, as a colour layer on the anatomical grid."""
    import torch

    from refinefuse_med.volume import grid_of, like

    monitor.update("comparing", 0.0)
    grey, colours = _shown(alignment, config)
    monitor.update("comparing", 0.4)
    spacing = grid_of(alignment.pair.fixed).spacing_mm
    if kind == "checkerboard":
        picture = torch.where(_tiles(tuple(grey.shape), spacing), grey.expand_as(colours), colours)
    elif kind == "blend":
        picture = torch.where(alignment.pair.field_of_view, (grey + colours) / 2, grey)
    else:
        picture = colours
    shown = (picture * 255).round().to(torch.uint8)
    if kind == "edges":
        edges = torch.from_numpy(_edges(grey.numpy(), spacing))
        shown = torch.where(
            edges, torch.tensor(EDGE_COLOUR, dtype=torch.uint8).view(3, 1, 1, 1), shown
        )
    monitor.update("comparing", 0.9)
    request = alignment.request
    layer = on_grid_of(
        request.anatomical,
        like(alignment.pair.fixed, shown),
        name=f"{request.name}: {_NAMES[kind]}",
        metadata=provenance(kind, request, alignment.pair.record),
    )
    return Outcome(_NAMES[kind], layer=layer)


def _shown(alignment: Alignment, config: ColourConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The anatomy in grey (I, J, K) and the function in colour (3, I, J, K), in [0, 1]."""
    from refinefuse_med import colour
    from refinefuse_med.volume import modality_of

    pair = alignment.pair
    anatomical, functional = windows_of(alignment, config)
    grey = colour.apply_window(pair.fixed.as_tensor()[0], anatomical)
    scalar = colour.apply_window(pair.registered.as_tensor()[0], functional)
    name = colour.resolve_colormap(config.colormap, modality_of(pair.registered))
    return grey, colour.colourise(scalar, name) * pair.field_of_view


def _tiles(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> torch.Tensor:
    """Where the anatomy shows: tiles of `TILE_MM` along all three axes."""
    import torch

    steps = [
        torch.arange(size).mul(mm).div(TILE_MM, rounding_mode="floor")
        for size, mm in zip(shape, spacing_mm, strict=True)
    ]
    i, j, k = torch.meshgrid(*steps, indexing="ij")
    return (i + j + k) % 2 == 0


def _edges(grey: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Ridges of the gradient of the anatomy."""
    from scipy import ndimage

    sigma = [_EDGE_WIDTH_MM / mm for mm in spacing_mm]
    gradient = ndimage.gaussian_gradient_magnitude(grey, sigma)
    body = gradient > 0.02
    if not body.any():
        return np.asarray(body)
    strong = gradient > np.percentile(gradient[body], _STRONG_EDGES)
    # One voxel thin: where the second derivative along the gradient changes its sign.
    curved = ndimage.gaussian_laplace(grey, sigma) > 0
    crossing = curved ^ ndimage.binary_erosion(curved)
    return np.asarray(strong & crossing)
