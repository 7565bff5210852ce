"""The picture ``alignment.png``: how two scans lie on each other, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from refinefuse_med import colour, io, registration
from refinefuse_med.volume import Keys, affine_ras, get_meta, grid_of, modality_of

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from refinefuse_med.grid import Grid
    from refinefuse_med.registration import RegistrationResult
    from refinefuse_med.results import ShownPair

__all__ = ["write_alignment"]

_FROM_THE_HEADERS: Final = ("none", "header")
"""Methods that leave the scans where they were: there is no before."""


def write_alignment(
    path: Path,
    fixed: MetaTensor,
    registered: MetaTensor,
    shown: ShownPair,
    aligned: RegistrationResult,
    *,
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
    shown : ShownPair
        The two as a reader sees them.
    aligned : RegistrationResult
    moving : MetaTensor, shape (1, I, J, K), optional
        As it was before.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    window, grid = shown.windows["functional"], grid_of(fixed)
    rgb = shown.rgb
    point = io.centre_of(rgb, affine_ras(fixed))
    # Of what is shown alone: the whole volume would take more memory than all else together.
    edges = colour.find_edges_through(shown.grey, grid.spacing_mm, point)
    # First, while the other columns take no memory yet.
    before = None
    if moving is not None and aligned.method not in _FROM_THE_HEADERS:
        before = colour.draw_edges(edges, _before(moving, grid, window, shown.colormap))
    grey = colour.to_bytes(shown.grey)
    fixed_name, moving_name = modality_of(fixed), modality_of(registered)
    is_one_modality = fixed_name == moving_name
    pictures = {
        f"{fixed_name}, fixed" if is_one_modality else fixed_name: grey[None],
        f"{moving_name}, moving" if is_one_modality else moving_name: rgb,
        "Checkerboard": colour.checkerboard(grey, rgb, grid.spacing_mm),
    }
    after = f"{fixed_name} edges"
    if before is not None:
        pictures[f"{fixed_name} edges, before"] = before
        after += ", after"
    pictures[after] = colour.draw_edges(edges, rgb)
    if is_one_modality:
        other = colour.apply_window(registered.as_tensor()[0], window)
        pictures["Difference"] = colour.to_bytes(colour.difference(shown.grey, other))
    return io.render_alignment(
        path,
        {name: picture.expand(3, -1, -1, -1) for name, picture in pictures.items()},
        affine_ras(fixed),
        window_moving=window,
        colours=colour.palette(shown.colormap),
        units=get_meta(registered, Keys.UNITS) or "a.u.",
        verdict=aligned.verdict,
        method=aligned.method,
        point_ijk=point,
    )


def _before(
    moving: MetaTensor, grid: Grid, window: tuple[float, float], colormap: str
) -> torch.Tensor:
    """The moving scan in its colours where its header puts it: shape (3, I, J, K), uint8."""
    as_was, seen = registration.resample_to(moving, grid, np.eye(4))
    scalar = colour.apply_window(as_was.as_tensor()[0], window)
    del as_was
    return colour.paint(scalar.mul_(seen), colormap)
