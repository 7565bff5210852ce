"""Convolutional building blocks, none of which looks across the samples of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "ChannelNorm",
    "PlainMerge",
    "ResidualBlock",
    "activation",
    "convolution",
    "weight_and_bias",
]


def convolution(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Conv2d:
    """Make a 3 x 3 convolution that keeps the size, or halves it with ``stride=2``."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)


def activation() -> nn.Module:
    """Make the activation used throughout."""
    return nn.LeakyReLU(0.1, inplace=True)


def weight_and_bias(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Give (C_out, C_in, k, k) and (C_out,) of a convolution, to be used in parts."""
    assert convolution.bias is not None
    return convolution.weight, convolution.bias


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside an identity: (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels), activation(), convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Refine features of shape (B, C, H, W)."""
        return self.body(x).add_(x)  # type: ignore[no-any-return]


class PlainMerge(nn.Module):
    """Two streams to one by a 1 x 1 convolution, without any attention.

    Parameters
    ----------
    channels : int
        Channels of each stream, and of the merged one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, anatomical: Tensor, functional: Tensor) -> Tensor:
        """Merge two (B, C, H, W) into one (B, C, H, W)."""
        return self.merge(torch.cat((anatomical, functional), dim=1))  # type: ignore[no-any-return]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel: (B, C, H, W) to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features of shape (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
