"""Structure in a fused picture that neither of its sources has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Field = NDArray[np.float64]

__all__ = ["evaluate_faithfulness", "false_edges"]


def false_edges(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> Field:
    """Steepness of what is in the fused picture and in neither source, at each pixel.

    An edge is taken for true while its gradient is a sum of the sources' gradients, each
    taken between not at all and in full. What lies outside that parallelogram, the distance
    to it, is false: an edge that neither has, one turned round, or what is steeper than both
    together.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]; H, W >= 2

    Returns
    -------
    array, shape (H, W)
        Grey values a pixel; 0 where the edge is true.
    """
    target, of_a, of_b = (_gradient(picture) for picture in (fused, a, b))
    inside = _inside(target, of_a, of_b)
    sides = [
        _from_segment(target, start, along)
        for start, along in (
            (np.zeros_like(of_a), of_a),
            (np.zeros_like(of_b), of_b),
            (of_b, of_a),
            (of_a, of_b),
        )
    ]
    distance: Field = np.min(sides, axis=0)
    return np.where(inside, 0.0, distance)


def evaluate_faithfulness(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> dict[str, float]:
    """Give the 99th percentile, and the largest, of `false_edges`, in grey values a pixel."""
    strength = false_edges(fused, a, b)
    return {
        "false edges, 99 %": float(np.percentile(strength, 99)),
        "false edges, largest": float(strength.max()),
    }


def _gradient(picture: ArrayLike) -> Field:
    down, across = np.gradient(np.asarray(picture, dtype=np.float64))
    return np.stack([down, across])


def _cross(u: Field, v: Field) -> Field:
    crossed: Field = u[0] * v[1] - u[1] * v[0]
    return crossed


def _inside(target: Field, a: Field, b: Field) -> NDArray[np.bool_]:
    area = _cross(a, b)
    safe = np.where(area == 0, 1.0, area)
    share_a, share_b = _cross(target, b) / safe, _cross(a, target) / safe
    within = [(share >= 0) & (share <= 1) for share in (share_a, share_b)]
    inside: NDArray[np.bool_] = (area != 0) & within[0] & within[1]
    return inside


def _from_segment(target: Field, start: Field, along: Field) -> Field:
    """Distance of points from segments, each array of shape (2, H, W)."""
    length2 = np.square(along).sum(axis=0)
    reach = ((target - start) * along).sum(axis=0) / np.where(length2 == 0, 1.0, length2)
    apart = target - start - np.clip(reach, 0.0, 1.0) * along
    distance: Field = np.hypot(*apart)
    return distance
