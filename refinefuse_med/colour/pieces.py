"""Volumes computed a piece at a time: the steps between would fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

__all__ = ["by_pieces"]

_VOXELS_AT_ONCE: Final = 2**20


def by_pieces(
    compute: Callable[..., torch.Tensor],
    out: torch.Tensor,
    *sources: torch.Tensor,
    dimensions: int,
) -> torch.Tensor:
    """Fill a volume with what `compute` makes of the same voxels of others.

    Parameters
    ----------
    compute : callable
        Takes a piece of each source, shape (..., N), and gives that of `out`.
    out : Tensor, shape (..., *spatial), contiguous
    *sources : Tensor, shape (..., *spatial)
    dimensions : int
        Of space: the last ones of each.

    Returns
    -------
    Tensor
        `out`.
    """
    pieces = [
        volume.reshape(*volume.shape[: volume.ndim - dimensions], -1).split(_VOXELS_AT_ONCE, -1)
        for volume in (out, *sources)
    ]
    for to, *parts in zip(*pieces, strict=True):
        to.copy_(compute(*parts))
    return out
