"""Luminance and chroma, and their return to colour inside the RGB gamut.

Luminance is the luma Y of full-range YCbCr with the weights of ITU-R BT.601, as JPEG and
the metrics of the image fusion field use it. The chroma of a colour is what it has
beside its luminance, ``rgb - Y``: its direction is the hue, its length the saturation.
"""

from __future__ import annotations

from typing import Final

import torch

__all__ = ["BT601", "chroma", "luminance", "recolour", "to_bytes"]

BT601: Final = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the luma Y (ITU-R BT.601, 2.5.1)."""

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
    y = luminance(rgb)
    red, _, blue = rgb.as_subclass(torch.Tensor)
    return torch.stack([(blue - y) / (2 - 2 * BT601[2]), (red - y) / (2 - 2 * BT601[0])])


def recolour(fused_luminance: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """Give a fused luminance the colour of the functional picture.

    The result has exactly the fused luminance and the functional hue. Where that luminance
    leaves no room in the RGB cube for the full chroma (a strong colour on bright
    anatomy), the chroma is shortened towards grey by just what it takes. Clipping the
    channels instead would turn the hue and darken the anatomy; keeping the whole
    chroma would flatten the anatomy under saturated colours, which leave one single
    luminance. Where the functional picture is grey or black the result is grey.

    Parameters
    ----------
    fused_luminance : Tensor, shape (...), in [0, 1]
    rgb : Tensor, shape (3, ...), in [0, 1]
        The functional picture in its colours.

    Returns
    -------
    Tensor, shape (3, ...), in [0, 1]

    Examples
    --------
    >>> recolour(torch.rand(4, 5), torch.rand(3, 4, 5)).shape
    torch.Size([3, 4, 5])
    """
    y = fused_luminance.as_subclass(torch.Tensor).clamp(0, 1)
    difference = rgb.as_subclass(torch.Tensor) - luminance(rgb)
    scale = torch.ones_like(y)
    # In place and channel by channel: a large volume in colour soon fills the memory.
    for channel in difference:
        room = torch.where(channel > 0, 1 - y, y)
        torch.minimum(scale, room.div_(channel.abs().clamp_min(_TINY)), out=scale)
    # The clamp takes off rounding alone; the scale has already put the colour inside.
    return difference.mul_(scale).add_(y).clamp_(0, 1)


def to_bytes(picture: torch.Tensor) -> torch.Tensor:
    """Round a picture in [0, 1], of any shape, to uint8 in 0..255; nothing is stretched."""
    return (picture * 255).round().to(torch.uint8)
