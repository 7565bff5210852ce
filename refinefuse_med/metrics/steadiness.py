"""Whether neighbouring slices, fused one by one, still belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["through_plane_change"]


def through_plane_change(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Change between neighbouring fused slices over that of the sources.

    Parameters
    ----------
    fused, a, b : array, shape (N, H, W), any units common to the three; N >= 2

    Returns
    -------
    float
        Mean absolute change of the fused slices over the mean of that of the source that
        changes more at each pixel. Above 1, slices flicker; 0 where nothing changes.
    """
    change_f, change_a, change_b = (
        np.abs(np.diff(np.asarray(stack, dtype=np.float64), axis=0)) for stack in (fused, a, b)
    )
    expected = float(np.maximum(change_a, change_b).mean())
    return float(change_f.mean()) / expected if expected > 0.0 else 0.0
