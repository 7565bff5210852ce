"""A scalar volume in the colours of a palette, which are never held in floating point."""

from __future__ import annotations

import torch

from refinefuse_med.colour.luminance import luminance, recolour, to_bytes
from refinefuse_med.colour.palettes import colourise
from refinefuse_med.colour.pieces import by_pieces
from refinefuse_med.config import Keep

__all__ = ["paint", "painted_luminance", "recolour_as_painted"]


def paint(scalar01: torch.Tensor, name: str) -> torch.Tensor:
    """Show a scalar, shape (...) in [0, 1], in a palette: shape (3, ...), uint8.

    The bytes of `refinefuse_med.colour.colourise`.
    """
    scalar = scalar01.as_subclass(torch.Tensor)
    out = torch.empty((3, *scalar.shape), dtype=torch.uint8, device=scalar.device)
    return by_pieces(
        lambda part: to_bytes(colourise(part, name)), out, scalar, dimensions=scalar.ndim
    )


def painted_luminance(scalar01: torch.Tensor, name: str) -> torch.Tensor:
    """Luminance of a scalar in the colours of a palette: shape (...), in [0, 1]."""
    scalar = scalar01.as_subclass(torch.Tensor)
    out = torch.empty_like(scalar, memory_format=torch.contiguous_format)
    return by_pieces(
        lambda part: luminance(colourise(part, name)), out, scalar, dimensions=scalar.ndim
    )


def recolour_as_painted(
    fused_luminance: torch.Tensor, scalar01: torch.Tensor, name: str, keep: Keep = "luminance"
) -> torch.Tensor:
    """Give a fused luminance, shape (...), the colours of a scalar: shape (3, ...), uint8.

    See `refinefuse_med.colour.recolour`.
    """
    fused, scalar = (x.as_subclass(torch.Tensor) for x in (fused_luminance, scalar01))
    out = torch.empty((3, *fused.shape), dtype=torch.uint8, device=fused.device)

    def piece(y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return to_bytes(recolour(y, colourise(s, name), keep))

    return by_pieces(piece, out, fused, scalar, dimensions=fused.ndim)
