"""The multi-scale, two-stream encoder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from refinefuse_med.network.blocks import ResidualBlock, activation, convolution

__all__ = ["MultiScaleEncoder", "TwoStreamEncoder"]


class MultiScaleEncoder(nn.Module):
    """One stream: a picture to features of every scale.

    Parameters
    ----------
    widths : sequence of int
        Channels of each scale, full resolution first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        # Full resolution is where most of the time goes, so it gets the least work.
        stem = nn.Sequential(
            convolution(1, widths[0]), activation(), convolution(widths[0], widths[0]), activation()
        )
        coarser = [
            nn.Sequential(convolution(fine, coarse, stride=2), activation(), ResidualBlock(coarse))
            for fine, coarse in itertools.pairwise(widths)
        ]
        self.scales = nn.ModuleList([stem, *coarser])

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Encode (B, 1, H, W) into a list of (B, C_s, H / 2^s, W / 2^s), fine to coarse."""
        features = []
        x = picture
        for scale in self.scales:
            x = scale(x)
            features.append(x)
        return features


class TwoStreamEncoder(nn.Module):
    """A stream of its own for either modality, since they show different things."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.anatomical = MultiScaleEncoder(widths)
        self.functional = MultiScaleEncoder(widths)

    def forward(self, anatomical: Tensor, functional: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Encode two (B, 1, H, W) into a pair of (B, C_s, H / 2^s, W / 2^s) for every scale."""
        return list(zip(self.anatomical(anatomical), self.functional(functional), strict=True))
