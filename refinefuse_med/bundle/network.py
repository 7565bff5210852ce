"""RefineFuse in the form that MONAI's tools know: one tensor in, one out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from refinefuse_med.network import RefineFuse

__all__ = ["StackedRefineFuse"]


class StackedRefineFuse(nn.Module):
    """RefineFuse with both pictures as the channels of one.

    MONAI's evaluators, exports and checks give a network one tensor named ``image``. The
    weights are read from safetensors with its manifest, never from pickle.

    Parameters
    ----------
    weights : str or Path, optional
        As of `RefineFuse.from_pretrained`; those in the package by default.

    Raises
    ------
    ModelError
        The weights are missing, damaged, or of another network.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.refinefuse = RefineFuse.from_pretrained(weights or None)

    def forward(self, image: Tensor) -> Tensor:
        """Fuse slices.

        Parameters
        ----------
        image : Tensor, shape (B, 2, H, W), in [0, 1]
            Luminance of the anatomical and of the functional picture.

        Returns
        -------
        Tensor, shape (B, 1, H, W), in [0, 1]
        """
        return self.refinefuse(image[:, :1], image[:, 1:])  # type: ignore[no-any-return]

    def with_contribution(self, anatomical: Tensor, functional: Tensor) -> tuple[Tensor, Tensor]:
        """See `RefineFuse.with_contribution`."""
        return self.refinefuse.with_contribution(anatomical, functional)
