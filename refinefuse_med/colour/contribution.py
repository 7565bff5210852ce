"""The contribution map: which source each fused grey value comes from, as a picture."""

from __future__ import annotations

from typing import Final

import torch

from refinefuse_med.colour.luminance import to_bytes
from refinefuse_med.colour.pieces import by_pieces

__all__ = ["ANATOMICAL_COLOUR", "FUNCTIONAL_COLOUR", "paint_contribution", "show_contribution"]

ANATOMICAL_COLOUR: Final = (0.0, 0.45, 1.0)
FUNCTIONAL_COLOUR: Final = (1.0, 0.55, 0.0)
"""Blue and orange, which every reader can tell apart; together they are white."""


def show_contribution(contribution: torch.Tensor) -> torch.Tensor:
    """Show what comes from the anatomical scan in blue, from the functional one in orange.

    As bright as the fused picture, and grey where both give alike.

    Parameters
    ----------
    contribution : Tensor, shape (2, ...), in [0, 1]
        Part from the anatomical and from the functional source; their sum is at most 1.

    Returns
    -------
    Tensor, shape (3, ...), in [0, 1]

    Examples
    --------
    >>> show_contribution(torch.tensor([0.5, 0.5]))
    tensor([0.5000, 0.5000, 0.5000])
    """
    plain = contribution.as_subclass(torch.Tensor)
    colours = plain.new_tensor([ANATOMICAL_COLOUR, FUNCTIONAL_COLOUR])
    shown: torch.Tensor = torch.tensordot(colours.T, plain, dims=1).clamp(0, 1)
    return shown


def paint_contribution(contribution: torch.Tensor) -> torch.Tensor:
    """As `show_contribution`: shape (2, ...) to (3, ...), uint8."""
    plain = contribution.as_subclass(torch.Tensor)
    out = torch.empty((3, *plain.shape[1:]), dtype=torch.uint8, device=plain.device)
    return by_pieces(
        lambda part: to_bytes(show_contribution(part)), out, plain, dimensions=plain.ndim - 1
    )
