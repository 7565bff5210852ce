"""Progressive refinement: deep semantics brought, coarse to fine, into shallow details."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_med.network.blocks import ResidualBlock, activation, weight_and_bias

__all__ = ["DirectRefinement", "ProgressiveRefinement", "RefinementInteraction"]


class RefinementInteraction(nn.Module):
    """One step: semantics select among the details of the next finer scale, and join them.

    Parameters
    ----------
    semantic_channels, detail_channels : int
        Channels of the coarser, and of the finer scale.
    """

    def __init__(self, semantic_channels: int, detail_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(semantic_channels, 2 * detail_channels, 1)
        self.refine = nn.Sequential(activation(), ResidualBlock(detail_channels), activation())

    def forward(self, semantic: Tensor, detail: Tensor) -> Tensor:
        """Bring (B, C_s, H / 2, W / 2) into (B, C_d, H, W); gives (B, C_d, H, W)."""
        # Projected before it is enlarged: a quarter of the work, and the same values. Gate and
        # content by themselves: as halves of one tensor, nothing after would be vectorised.
        gate, content = (
            F.interpolate(
                F.conv2d(semantic, weight, bias),
                scale_factor=2.0,
                mode="bilinear",
                align_corners=False,
            )
            for weight, bias in zip(
                *(x.chunk(2) for x in weight_and_bias(self.project)), strict=True
            )
        )
        return self.refine(content.addcmul_(detail, gate.sigmoid_(), value=2.0))  # type: ignore[no-any-return]


class ProgressiveRefinement(nn.Module):
    """The steps from the coarsest scale to full resolution.

    Parameters
    ----------
    widths : sequence of int
        Channels of each scale, full resolution first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip(widths[1:], widths[:-1], strict=True))
        self.steps = nn.ModuleList(
            RefinementInteraction(coarse, fine) for coarse, fine in reversed(pairs)
        )

    def forward(self, semantic: Tensor, details: Sequence[Tensor]) -> Tensor:
        """Refine the deepest (B, C_n, h, w) by details fine to coarse; gives (B, C_0, H, W)."""
        x = semantic
        for step, detail in zip(self.steps, reversed(details), strict=True):
            x = step(x, detail)
        return x


class DirectRefinement(nn.Module):
    """All scales brought to full resolution at once, without steps: the plain rival.

    Parameters
    ----------
    widths : sequence of int
        Channels of each scale, full resolution first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(width, widths[0], 1) for width in widths[1:])
        self.refine = nn.Sequential(activation(), ResidualBlock(widths[0]), activation())

    def forward(self, semantic: Tensor, details: Sequence[Tensor]) -> Tensor:
        """As `ProgressiveRefinement.forward`."""
        finest, *coarser = details
        brought = [
            F.interpolate(project(x), size=finest.shape[-2:], mode="bilinear", align_corners=False)
            for project, x in zip(self.project, (*coarser, semantic), strict=True)
        ]
        return self.refine(torch.stack([finest, *brought]).sum(dim=0))  # type: ignore[no-any-return]
