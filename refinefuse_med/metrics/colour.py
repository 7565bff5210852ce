"""How well a fused picture keeps the colours of its functional source.

Both metrics are means over the *coloured pixels*: those of the functional source whose
colour difference Cb or Cr (full-range YCbCr, ITU-R BT.601) exceeds `COLOURED` in
magnitude. Elsewhere the functional source has no colour to keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Picture = NDArray[np.float64]

__all__ = ["COLOURED", "COLOUR_METRICS", "ciede2000", "evaluate_colour", "lab", "ycbcr"]

COLOUR_METRICS: Final = ("CbCr error", "CIEDE2000")
"""Names of what `evaluate_colour` gives, lower being better for each."""

COLOURED: Final = 8.0
"""Magnitude of Cb or Cr, in grey values of 255, above which a pixel counts as coloured.

It keeps rounding and the blotches of JPEG, from which public slices were made, out."""

_BT601: Final = np.array([0.299, 0.587, 0.114])

_XYZ_OF_RGB: Final = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)
"""Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1)."""


def evaluate_colour(fused: ArrayLike, functional: ArrayLike) -> dict[str, float]:
    """Give all of `COLOUR_METRICS` for one fused picture.

    ``CbCr error`` is the mean absolute error of Cb and Cr, in grey values; it does not see
    the luminance, which fusion is to change. ``CIEDE2000`` is the perceived difference, that
    of lightness included, so that a picture that shows any anatomy is above 0.

    Parameters
    ----------
    fused, functional : array, shape (H, W, 3), sRGB in [0, 255]

    Returns
    -------
    dict
        Empty where the functional source has no coloured pixel, or the fused picture is grey.
    """
    fused, functional = (np.asarray(p, dtype=np.float64) for p in (fused, functional))
    chroma = ycbcr(functional)[..., 1:]
    # Rounded, so that no last bit decides on pixels at the threshold, such as (0, 0, 16).
    coloured = (np.abs(chroma).round(3) > COLOURED).any(axis=-1)
    if not coloured.any() or not np.ptp(fused, axis=-1).any():
        return {}
    error = np.abs(ycbcr(fused[coloured])[..., 1:] - chroma[coloured])
    perceived = ciede2000(lab(fused[coloured]), lab(functional[coloured]))
    return {"CbCr error": float(error.mean()), "CIEDE2000": float(perceived.mean())}


def ycbcr(rgb: ArrayLike) -> Picture:
    """Give luma and colour differences of full-range ITU-R BT.601, as JPEG has them.

    Parameters
    ----------
    rgb : array, shape (..., 3), in [0, 255]

    Returns
    -------
    array, shape (..., 3)
        Y in [0, 255]; Cb and Cr in [-127.5, 127.5], without the offset of 128.
    """
    rgb = np.asarray(rgb, dtype=np.float64)
    y = rgb @ _BT601
    cb = (rgb[..., 2] - y) / (2 - 2 * _BT601[2])
    cr = (rgb[..., 0] - y) / (2 - 2 * _BT601[0])
    return np.stack([y, cb, cr], axis=-1)


def lab(rgb: ArrayLike) -> Picture:
    """Give CIE L*a*b* under D65.

    Parameters
    ----------
    rgb : array, shape (..., 3), sRGB in [0, 255]

    Returns
    -------
    array, shape (..., 3)
        L* in [0, 100]; a* and b* are 0 where red, green and blue are equal.

    References
    ----------
    IEC 61966-2-1 (sRGB); ISO/CIE 11664-4 (L*a*b*).
    """
    encoded = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    # The white of the matrix itself: a tabled one leaves a tint of its rounding on greys.
    relative = linear @ (_XYZ_OF_RGB / _XYZ_OF_RGB.sum(axis=1, keepdims=True)).T
    delta = 6 / 29
    f = np.where(relative > delta**3, np.cbrt(relative), relative / (3 * delta**2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def ciede2000(lab_a: ArrayLike, lab_b: ArrayLike) -> Picture:
    """Give the CIEDE2000 colour difference, with unit weights.

    Parameters
    ----------
    lab_a, lab_b : array, shape (..., 3)
        L*, a*, b*.

    Returns
    -------
    array, shape (...)

    References
    ----------
    Sharma, Wu & Dalal, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations", Color Research and Application
    30(1), 2005; the numbers of equations below are theirs.
    """
    l_a, a_a, b_a = np.moveaxis(np.asarray(lab_a, dtype=np.float64), -1, 0)
    l_b, a_b, b_b = np.moveaxis(np.asarray(lab_b, dtype=np.float64), -1, 0)

    # (2)-(7): a* is stretched near the neutral axis, then chroma C' and hue h' in degrees
    stretch = 1.5 - 0.5 * _saturation((np.hypot(a_a, b_a) + np.hypot(a_b, b_b)) / 2)
    c_a, c_b = np.hypot(stretch * a_a, b_a), np.hypot(stretch * a_b, b_b)
    h_a = np.degrees(np.arctan2(b_a, stretch * a_a)) % 360
    h_b = np.degrees(np.arctan2(b_b, stretch * a_b)) % 360

    # (8)-(14): differences and means; a grey has no hue, and takes that of the other
    grey = c_a * c_b == 0
    turn = h_b - h_a
    far = np.abs(turn) > 180
    turn = np.where(grey, 0.0, np.where(far, turn - np.copysign(360, turn), turn))
    d_l, d_c = l_b - l_a, c_b - c_a
    d_h = 2 * np.sqrt(c_a * c_b) * np.sin(np.radians(turn) / 2)
    lightness, c, h = (l_a + l_b) / 2, (c_a + c_b) / 2, (h_a + h_b) / 2
    h = np.where(grey, h_a + h_b, np.where(far, (h + 180) % 360, h))

    # (15)-(22): weights of lightness, chroma and hue, and the rotation in the blues
    t = (
        1
        - 0.17 * np.cos(np.radians(h - 30))
        + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6))
        - 0.20 * np.cos(np.radians(4 * h - 63))
    )
    off_middle = (lightness - 50) ** 2
    s_l = 1 + 0.015 * off_middle / np.sqrt(20 + off_middle)
    s_c = 1 + 0.045 * c
    s_h = 1 + 0.015 * c * t
    angle = np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))
    d_l, d_c, d_h = d_l / s_l, d_c / s_c, d_h / s_h
    squared = d_l**2 + d_c**2 + d_h**2 - 2 * _saturation(c) * np.sin(angle) * d_c * d_h
    difference: Picture = np.sqrt(np.maximum(squared, 0.0))
    return difference


def _saturation(chroma: Picture) -> Picture:
    """How far chroma is from the neutral axis, in [0, 1]: sqrt(C^7 / (C^7 + 25^7))."""
    seventh = chroma**7
    return np.sqrt(seventh / (seventh + 25.0**7))
