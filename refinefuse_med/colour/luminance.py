"""Luminance and chroma, and their return to colour inside the RGB gamut.

Luminance is the luma Y of full-range YCbCr with the weights of ITU-R BT.601, as JPEG and
the metrics of the image fusion field use it. The chroma of a colour is what it has
beside its luminance, ``rgb - Y``: its direction is the hue, its length the saturation.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch

from refinefuse_med.colour.pieces import by_pieces
from refinefuse_med.config import Keep

__all__ = ["BT601", "CHROMA_WEIGHTS", "chroma", "luminance", "recolour", "to_bytes"]

BT601: Final = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the luma Y (ITU-R BT.601, 2.5.1)."""

CHROMA_WEIGHTS: Final[Mapping[Keep, float]] = MappingProxyType({"luminance": 0.0, "chroma": 12.0})
"""How much more a squared error of chroma (Cb, Cr) counts than one of luminance, where RGB
has no room for both. With 12 the mean chroma error of PET slices in a saturated palette stays
near one grey level (`benchmarks/fusion_quality.py`)."""

_TINY: Final = torch.finfo(torch.float32).tiny


def luminance(rgb: torch.Tensor) -> torch.Tensor:
    """Return the luma Y of a colour picture.

    Parameters
    ----------
    rgb : Tensor, shape (3, ...), in [0, 1]

    Returns
    -------
    Tensor, shape (...), in [0, 1]

    Examples
    --------
    >>> luminance(torch.rand(3, 4, 5)).shape
    torch.Size([4, 5])
    """
    plain = rgb.as_subclass(torch.Tensor)
    y: torch.Tensor = torch.tensordot(plain.new_tensor(BT601), plain, dims=1)
    return y


def chroma(rgb: torch.Tensor) -> torch.Tensor:
    """Return the colour differences Cb and Cr of a colour picture.

    Parameters
    ----------
    rgb : Tensor, shape (3, ...), in [0, 1]

    Returns
    -------
    Tensor, shape (2, ...), in [-0.5, 0.5]
        Cb and Cr; both zero where the picture is grey.
    """
    return _chroma_of(rgb.as_subclass(torch.Tensor) - luminance(rgb))


def recolour(
    fused_luminance: torch.Tensor, rgb: torch.Tensor, keep: Keep = "luminance"
) -> torch.Tensor:
    """Give a fused luminance the colour of the functional picture.

    The hue is exactly that of the functional picture. Where the RGB cube has room for both,
    so are the fused luminance and the functional chroma. A saturated colour leaves little
    room: it has one single luminance. There one of the two gives way. With the luminance kept,
    colours are shortened towards grey by just what it takes, and the anatomy shows through
    everywhere. With the chroma kept, a hot spot keeps its colour, which readers take for a
    value, and the anatomy under it fades. Clipping the channels instead would lose of both and
    turn the hue. Where the functional picture is grey or black the result is grey, of the
    fused luminance.

    Parameters
    ----------
    fused_luminance : Tensor, shape (...), in [0, 1]
    rgb : Tensor, shape (3, ...), in [0, 1]
        The functional picture in its colours.
    keep : {"luminance", "chroma"}
        The luminance exactly; or the chroma nearly: the sum of squared errors is least in which
        those of chroma count `CHROMA_WEIGHTS` times those of luminance.

    Returns
    -------
    Tensor, shape (3, ...), in [0, 1]

    Examples
    --------
    >>> recolour(torch.rand(4, 5), torch.rand(3, 4, 5)).shape
    torch.Size([3, 4, 5])
    """
    colours = rgb.as_subclass(torch.Tensor)
    y = fused_luminance.as_subclass(torch.Tensor).clamp(0, 1)
    weight = CHROMA_WEIGHTS[keep]
    result = torch.empty(colours.shape, dtype=y.dtype, device=y.device)
    return by_pieces(
        lambda part, of: _into_gamut(part, of - luminance(of), weight),
        result,
        y,
        colours,
        dimensions=y.ndim,
    )


def _into_gamut(y: torch.Tensor, difference: torch.Tensor, weight: float) -> torch.Tensor:
    """Colours (3, N) of luminance y (N,) and difference ``rgb - Y`` (3, N), or the nearest."""
    # In full colour, luminance lies between `below` and 1 - `above`: it leaves on one side.
    above, below = difference.amax(0), difference.amin(0).neg_()
    too_bright, too_dark = (y + above - 1).clamp_min_(0), (below - y).clamp_min_(0)
    # What a step towards grey gains of luminance on that side, and what it costs of chroma.
    gain = torch.where(too_bright > 0, above, below)
    cost = _chroma_of(difference).square_().sum(0).mul_(weight)
    shrink = (too_bright + too_dark) * gain / (gain.square() + cost).clamp_min_(_TINY)
    scale = 1 - shrink.clamp_(0, 1)
    room = torch.minimum(torch.maximum(y, scale * below), 1 - scale * above)
    # The clamp takes off rounding alone; the scale has already put the colour inside.
    return (difference * scale).add_(room).clamp_(0, 1)


def _chroma_of(difference: torch.Tensor) -> torch.Tensor:
    red, _, blue = difference
    return torch.stack([blue / (2 - 2 * BT601[2]), red / (2 - 2 * BT601[0])])


def to_bytes(picture: torch.Tensor) -> torch.Tensor:
    """Round a picture in [0, 1], of any shape, to uint8 in 0..255; nothing is stretched."""
    plain = picture.as_subclass(torch.Tensor)
    result = torch.empty(plain.shape, dtype=torch.uint8, device=plain.device)
    return by_pieces(lambda part: (part * 255).round_(), result, plain, dimensions=plain.ndim)
