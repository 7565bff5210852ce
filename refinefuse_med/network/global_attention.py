"""Global attention between the modalities, for the deep, semantic features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_med.network.blocks import ChannelNorm, ResidualBlock, activation

__all__ = ["CrossModalAttention", "GlobalAttentionInteraction"]


class CrossModalAttention(nn.Module):
    """Every place of one modality looks at the whole of the other.

    Keys and values are pooled to a grid of at most `key_grid` squared places, so that
    memory grows linearly with the picture.

    Parameters
    ----------
    channels : int
        Channels of either modality.
    heads : int
        Attention heads; divides `channels`.
    key_grid : int
        Side of the grid of keys.
    """

    def __init__(self, channels: int, heads: int, key_grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.key_grid = key_grid
        self.norm_query = ChannelNorm(channels)
        self.norm_key = ChannelNorm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        # A bias of the keys would shift all scores of a query alike: softmax drops it.
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Add to x (B, C, H, W) what it finds in other (B, C, H, W)."""
        height, width = other.shape[2:]
        grid = (min(height, self.key_grid), min(width, self.key_grid))
        pooled = F.adaptive_avg_pool2d(self.norm_key(other), grid)
        query, key, value = (
            _to_tokens(layer(y), self.heads)
            for layer, y in (
                (self.query, self.norm_query(x)),
                (self.key, pooled),
                (self.value, pooled),
            )
        )
        found = F.scaled_dot_product_attention(query, key, value)
        found = found.transpose(2, 3).reshape(x.shape)
        return x + self.project(found)  # type: ignore[no-any-return]


class GlobalAttentionInteraction(nn.Module):
    """Attention both ways between the modalities, then one semantic stream.

    Parameters
    ----------
    channels, heads, key_grid : int
        As of `CrossModalAttention`.
    """

    def __init__(self, channels: int, heads: int, key_grid: int) -> None:
        super().__init__()
        self.anatomical_from_functional = CrossModalAttention(channels, heads, key_grid)
        self.functional_from_anatomical = CrossModalAttention(channels, heads, key_grid)
        self.merge = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), activation(), ResidualBlock(channels)
        )

    def forward(self, anatomical: Tensor, functional: Tensor) -> Tensor:
        """Merge two (B, C, H, W) into one (B, C, H, W)."""
        a = self.anatomical_from_functional(anatomical, functional)
        f = self.functional_from_anatomical(functional, anatomical)
        return self.merge(torch.cat((a, f), dim=1))  # type: ignore[no-any-return]


def _to_tokens(x: Tensor, heads: int) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, heads, c // heads, h * w).transpose(2, 3)
