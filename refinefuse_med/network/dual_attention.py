"""Dual-attention feature interaction of the shallow, detailed features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from refinefuse_med.network.blocks import activation, weight_and_bias

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
        streams = (anatomical, functional)
        means = torch.cat([x.mean(dim=(2, 3), keepdim=True) for x in streams], dim=1)
        by_channel = self.channel_attention(means).flatten(1)
        by_pixel = self.pixel_attention(torch.cat([_outline(x) for x in streams], dim=1))
        # The merge is linear: channels are weighted in its matrix, and pixels in what it gives.
        # That spares the weighted features, and bringing them together.
        weight, merged = weight_and_bias(self.merge)
        matrix = (weight.flatten(1) * by_channel.unsqueeze(1)).transpose(1, 2)
        for x, part, pixels in zip(
            streams, matrix.chunk(2, dim=1), by_pixel.chunk(2, dim=1), strict=True
        ):
            found = x.permute(0, 2, 3, 1).flatten(1, 2) @ part
            merged = torch.addcmul(merged.to(found), found, pixels.flatten(2).transpose(1, 2))
        return merged.reshape(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)


def _outline(x: Tensor) -> Tensor:
    # The larger of two halves first: PyTorch does not vectorise the largest of 16 channels.
    half = -(-x.shape[1] // 2)
    largest = torch.maximum(x[:, :half], x[:, -half:]).amax(dim=1, keepdim=True)
    return torch.cat((x.mean(dim=1, keepdim=True), largest), dim=1)
