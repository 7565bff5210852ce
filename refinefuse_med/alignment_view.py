"""The picture ``alignment.png``: how two scans lie on each other, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from refinefuse_med import colour, io, registration
from refinefuse_med.volume import Keys, affine_ras, get_meta, grid_of, modality_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.registration import RegistrationResult

__all__ = ["write_alignment"]

_FROM_THE_HEADERS: Final = ("none", "header")
"""Methods that leave the scans where they were: there is no before."""


def write_alignment(
    path: Path,
    *,
    fixed: MetaTensor,
    grey: torch.Tensor,
    registered: MetaTensor,
    rgb: torch.Tensor,
    colormap: str,
    window: tuple[float, float],
    aligned: RegistrationResult,
    moving: MetaTensor | None = None,
) -> Path:
    """Write a checkerboard of two scans, and the edges of the fixed one over the moving one.

    Where `moving` is given and was registered, the edges are shown over it as its header puts
    it, too; where both scans are of one modality, so is their difference.

    Parameters
    ----------
    path : Path
        A PNG file.
    fixed, registered : MetaTensor, shape (1, I, J, K)
        On one grid.
    grey : Tensor, shape (I, J, K), in [0, 1]
        `fixed` in its window.
    rgb : Tensor, shape (3, I, J, K), in [0, 1]
        `registered` in its window and palette.
    colormap : str
        Name of that palette.
    window : (float, float)
        Of `registered`.
    aligned : RegistrationResult
    moving : MetaTensor, shape (1, I, J, K), optional
        As it was before.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    grid = grid_of(fixed)
    spacing = grid.spacing_mm
    names = modality_of(fixed), modality_of(registered)
    edges = f"{names[0]} edges"
    pictures = {
        names[0] if names[0] != names[1] else f"{names[0]}, fixed": grey[None],
        names[1] if names[0] != names[1] else f"{names[1]}, moving": rgb,
        "Checkerboard": colour.checkerboard(grey, rgb, spacing),
    }
    if moving is not None and aligned.method not in _FROM_THE_HEADERS:
        as_was, seen = registration.resample_to(moving, grid, np.eye(4))
        before = colour.colourise(colour.apply_window(as_was.as_tensor()[0], window), colormap)
        pictures[f"{edges}, before"] = colour.edge_overlay(grey, before * seen, spacing)
        edges = f"{edges}, after"
    pictures[edges] = colour.edge_overlay(grey, rgb, spacing)
    if names[0] == names[1]:
        other = colour.apply_window(registered.as_tensor()[0], window)
        pictures["Difference"] = colour.difference(grey, other)
    return io.render_alignment(
        path,
        {name: _bytes(picture) for name, picture in pictures.items()},
        affine_ras(fixed),
        window_moving=window,
        colours=colour.palette(colormap),
        units=get_meta(registered, Keys.UNITS) or "a.u.",
        verdict=aligned.verdict,
        method=aligned.method,
    )


def _bytes(picture: torch.Tensor) -> torch.Tensor:
    plain = colour.to_bytes(picture.as_subclass(torch.Tensor))
    return plain.expand(3, -1, -1, -1)
