"""Dual-attention feature interaction of the shallow, detailed features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinefuse_med.network.blocks import activation

__all__ = ["DualAttentionInteraction"]


class DualAttentionInteraction(nn.Module):
    """Let both modalities decide together which channels and which pixels of either count.

    Channel attention looks at the mean of every channel of both streams, pixel attention
    at the mean and the largest channel of both streams around each pixel; the features so
    weighted are merged into one stream.

    Parameters
    ----------
    channels : int
        Channels of each stream, and of the merged one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            activation(),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Sigmoid(),
        )
        self.pixel_attention = nn.Sequential(nn.Conv2d(4, 2, 5, padding=2), nn.Sigmoid())
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, anatomical: Tensor, functional: Tensor) -> Tensor:
        """Merge two (B, C, H, W) into one (B, C, H, W)."""
        both = torch.cat((anatomical, functional), dim=1)
        by_channel = self.channel_attention(both.mean(dim=(2, 3), keepdim=True))
        weight_a, weight_f = by_channel.chunk(2, dim=1)
        outline = torch.cat([_outline(x) for x in (anatomical, functional)], dim=1)
        pixel_a, pixel_f = self.pixel_attention(outline).chunk(2, dim=1)
        weighted = torch.cat(
            (anatomical * weight_a * pixel_a, functional * weight_f * pixel_f), dim=1
        )
        return self.merge(weighted)  # type: ignore[no-any-return]


def _outline(x: Tensor) -> Tensor:
    return torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
