"""RefineFuse: two registered pictures in, one fused picture out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_med.network.architecture import Architecture
from refinefuse_med.network.blocks import PlainMerge
from refinefuse_med.network.dual_attention import DualAttentionInteraction
from refinefuse_med.network.encoder import TwoStreamEncoder
from refinefuse_med.network.global_attention import GlobalAttentionInteraction
from refinefuse_med.network.head import FusionHead, compose
from refinefuse_med.network.progressive_refinement import DirectRefinement, ProgressiveRefinement

__all__ = ["RefineFuse"]


class RefineFuse(nn.Module):
    """Multi-scale refinement fusion of two registered grey pictures.

    Both pictures are encoded at several scales. Their shallow features meet by dual
    attention, their deepest by global attention, and progressive refinement brings the
    deep semantics step by step into the shallow details, from which the head says how
    much of each source goes into every pixel.

    Parameters
    ----------
    architecture : Architecture
        The sizes.

    References
    ----------
    Song, Li, Xu, Wu & Kittler, "RefineFuse: an end-to-end network for multi-scale
    refinement fusion of multi-modality images", Visual Intelligence 3:16, 2025,
    doi:10.1007/s44267-025-00087-w. Widths, head, losses and schedule, which its abstract
    leaves open, are this project's.

    Examples
    --------
    >>> model = RefineFuse().eval()
    >>> anatomical, functional = torch.rand(2, 1, 60, 41), torch.rand(2, 1, 60, 41)
    >>> model(anatomical, functional).shape
    torch.Size([2, 1, 60, 41])
    """

    def __init__(self, architecture: Architecture = Architecture()) -> None:  # noqa: B008
        super().__init__()
        self.architecture = architecture
        *shallow, deep = architecture.widths
        self.encoder = TwoStreamEncoder(architecture.widths)
        interaction = DualAttentionInteraction if architecture.dual_attention else PlainMerge
        self.dual_attention = nn.ModuleList(interaction(c) for c in shallow)
        self.global_attention = (
            GlobalAttentionInteraction(deep, architecture.heads, architecture.key_grid)
            if architecture.global_attention
            else PlainMerge(deep)
        )
        refinement = (
            ProgressiveRefinement if architecture.progressive_refinement else DirectRefinement
        )
        self.progressive_refinement = refinement(architecture.widths)
        self.head = FusionHead(architecture.widths[0])
        self.weights_name = "untrained"
        self.weights_sha256 = ""

    @classmethod
    def from_pretrained(cls, path_or_name: str | Path | None = None) -> RefineFuse:
        """Make a network with trained weights, in evaluation mode, on the CPU.

        Parameters
        ----------
        path_or_name : str or Path, optional
            Name of weights in the package, or path of a ``.safetensors`` file with its
            JSON manifest beside it; the weights in the package by default.

        Raises
        ------
        ModelError
            The weights are missing, damaged, or of another network.
        """
        from refinefuse_med.network.pretrained import load_pretrained

        return load_pretrained(path_or_name)

    def weights_info(self) -> dict[str, str]:
        """Name and SHA-256 of the trained weights that this network holds, for records."""
        return {"name": self.weights_name, "sha256": self.weights_sha256}

    def forward(self, anatomical: Tensor, functional: Tensor) -> Tensor:
        """Fuse two pictures.

        Parameters
        ----------
        anatomical, functional : Tensor, shape (B, 1, H, W), in [0, 1]
            Any H, W of 1 or more.

        Returns
        -------
        Tensor, shape (B, 1, H, W), in [0, 1]
            Black where both are black; the picture itself where both are equal.
        """
        return self.parts(anatomical, functional).sum(dim=1, keepdim=True).clamp(max=1.0)

    def with_contribution(self, anatomical: Tensor, functional: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse two pictures, and say what of the result comes from which.

        Parameters
        ----------
        anatomical, functional : Tensor, shape (B, 1, H, W), in [0, 1]

        Returns
        -------
        fused : Tensor, shape (B, 1, H, W), in [0, 1]
            As of `forward`.
        contribution : Tensor, shape (B, 2, H, W), in [0, 1]
            Part from the anatomical and from the functional picture; their sum is `fused`.
        """
        parts = self.parts(anatomical, functional)
        total = parts.sum(dim=1, keepdim=True)
        # Where the sum is cut at white, both parts give way in proportion.
        return total.clamp(max=1.0), parts / total.clamp(min=1.0)

    def parts(self, anatomical: Tensor, functional: Tensor) -> Tensor:
        """Give the part of each source, before their sum is limited to 1.

        Parameters
        ----------
        anatomical, functional : Tensor, shape (B, 1, H, W), in [0, 1]

        Returns
        -------
        Tensor, shape (B, 2, H, W), in [0, 2)
        """
        height, width = anatomical.shape[-2:]
        # Replicated and not reflected, which a picture of one pixel cannot be.
        padding = (0, -width % self.architecture.stride, 0, -height % self.architecture.stride)
        a, f = (F.pad(x, padding, mode="replicate") for x in (anatomical, functional))
        *shallow, deep = self.encoder(a, f)
        details = [attend(*pair) for attend, pair in zip(self.dual_attention, shallow, strict=True)]
        semantic = self.global_attention(*deep)
        features = self.progressive_refinement(semantic, details)
        return compose(self.head(features, a, f), a, f)[..., :height, :width]
