"""A strip of four small pictures for the overview: anatomy, function, fused, checkerboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from refinefuse_med.colour import checkerboard
from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.scene import PLANES, make_scene
from refinefuse_med.volume import affine_ras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from refinefuse_med.results import FusionResult

__all__ = ["write_thumbnail"]

HEIGHT: Final = 144
"""Pixels; the width follows from the patient's proportions."""


def write_thumbnail(result: FusionResult, path: Path) -> None:
    """Write the axial plane through the functional signal as a JPEG file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from PIL import Image

    volumes = [result.shown.grey[None], result.shown.rgb, result.fused.as_tensor()]
    scene = make_scene(volumes, affine_ras(result.anatomical), None)
    axial = PLANES[0]
    across, down = scene.size_mm(axial)
    size = (max(1, round(HEIGHT * across / down)), HEIGHT)
    tiles = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(scene.picture(column, axial))).resize(
                size, Image.Resampling.BILINEAR
            )
        )
        for column in range(len(volumes))
    ]
    tiles.append(_checkerboard(tiles[0], tiles[1], down / HEIGHT))
    with atomic_file(path) as partial:
        Image.fromarray(np.concatenate(tiles, axis=1)).save(partial, format="JPEG", quality=85)


def _checkerboard(
    grey: NDArray[np.uint8], rgb: NDArray[np.uint8], pixel_mm: float
) -> NDArray[np.uint8]:
    """The checkerboard of all other pictures, of one plane."""
    first = torch.from_numpy(grey[..., 0].copy())[..., None]
    second = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[..., None]
    mixed = checkerboard(first, second, (pixel_mm, pixel_mm, 1.0))
    picture: NDArray[np.uint8] = mixed[..., 0].permute(1, 2, 0).numpy()
    return picture
