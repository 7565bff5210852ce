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
_SMOOTHING_MM2: Final = 2.0
_WEAK_EDGE: Final = 0.05
_STRONG_EDGE: Final = 0.1
"""Gradient, in parts of the window per voxel, from which an edge is one; weak ones only where
they go on from a strong one."""
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
        edges = torch.from_numpy(_edges(grey.numpy(), spacing, monitor))
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


def _edges(
    grey: NDArray[np.float32], spacing_mm: tuple[float, ...], monitor: Monitor
) -> NDArray[np.bool_]:
    """Edges of the anatomy, a voxel wide (Canny)."""
    import SimpleITK as sitk

    from refinefuse_med.volume import run_filter

    image = sitk.GetImageFromArray(grey.transpose(2, 1, 0))
    image.SetSpacing(spacing_mm)
    canny = sitk.CannyEdgeDetectionImageFilter()
    canny.SetVariance(_SMOOTHING_MM2)
    canny.SetLowerThreshold(_WEAK_EDGE)
    canny.SetUpperThreshold(_STRONG_EDGE)
    edges = sitk.GetArrayFromImage(run_filter(canny, image, monitor)).transpose(2, 1, 0)
    return np.asarray(edges > 0)
