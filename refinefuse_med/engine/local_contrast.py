"""The local contrast of both pictures, mixed into what the network makes of them.

A network that is trained for the common measures of fusion takes each place mostly from one
source, as those measures want, and what the other shows there arrives in part. What a reader
looks for may be just that: a lesion that one scan alone shows. The plain sum of both pictures
keeps the contrast of both, but has no room for it where both are bright; so each is lowered,
before, by a part of the mean of its surroundings, which changes nothing about how far anything
smaller stands out from them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch

from refinefuse_med.network.head import disagreement

__all__ = ["SURROUNDINGS_MM", "mix_local_contrast"]

SURROUNDINGS_MM: Final = 20.0
"""Standard deviation of the Gaussian by which surroundings are weighted: wider than a lesion."""

_LOWERED: Final = 0.4
"""Part of the surroundings that is taken away: where both are white, 1.2 of 1 is left."""


def mix_local_contrast(
    parts: torch.Tensor,
    anatomical: torch.Tensor,
    functional: torch.Tensor,
    amount: float,
    pixel_mm: tuple[float, float],
) -> torch.Tensor:
    """Move parts of a fused picture towards the sum of both sources, lowered by surroundings.

    Where the sources agree over a neighbourhood nothing moves, as their sum would show twice
    what both show.

    Parameters
    ----------
    parts : Tensor, shape (B, 2, H, W), 0 or more, their sum at most 1
        What each source contributes, as of `RefineFuse.with_contribution`.
    anatomical, functional : Tensor, shape (B, 1, H, W), in [0, 1]
    amount : float
        0: as the network has it; 1: all of the local contrast of both.
    pixel_mm : tuple of float
        Distance of rows and of columns.

    Returns
    -------
    Tensor, shape (B, 2, H, W)
        0 or more, their sum at most 1; 0 where a source is.
    """
    sources = torch.cat((anatomical, functional), dim=1)
    rows, columns = (
        _gaussian(n, SURROUNDINGS_MM / mm).to(sources)
        for n, mm in zip(sources.shape[-2:], pixel_mm, strict=True)
    )
    lowered = (sources - _LOWERED * (rows @ sources @ columns.T)).relu()
    lowered = lowered / lowered.sum(dim=1, keepdim=True).clamp(min=1.0)
    # In full from the difference on at which the network may leave the mean of both.
    differ = (2 * disagreement(anatomical, functional)).clamp(max=1.0)
    return torch.lerp(parts, lowered, amount * differ)


@lru_cache(maxsize=32)
def _gaussian(size: int, sigma: float) -> torch.Tensor:
    """Shape (size, size): in each row the weights of a mean about that place, inside alone."""
    place = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    return (weights / weights.sum(dim=1, keepdim=True)).float()
