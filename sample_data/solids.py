"""Solids in a bent space: signed distances, unions, and how much of a voxel they fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Array = NDArray[np.floating[Any]]
Point = tuple[float, float, float]

LOW, HIGH = np.array([-104, -136, -106]), np.array([104, 126, 108])
"""Extent of the model, RAS mm; its voxels are 1 mm."""

MARGIN, FAR = 20, 1e3
"""Distances are exact up to `MARGIN` mm around a solid; beyond they are `FAR`."""


def smooth_noise(shape: tuple[int, ...], scale_mm: float, rng: np.random.Generator) -> Array:
    """Gaussian random field of unit variance whose grains are about `scale_mm` wide."""
    coarse = rng.standard_normal([int(n / scale_mm) + 4 for n in shape]).astype(np.float32)
    zoom = ndimage.zoom(coarse, scale_mm, order=3)[tuple(slice(0, n) for n in shape)]
    return (zoom / zoom.std()).astype(np.float32)


class Space:
    """Coordinates at every voxel, bent a little so that no two halves are mirror images."""

    def __init__(self, rng: np.random.Generator) -> None:
        shape = tuple(int(n) + 1 for n in HIGH - LOW)
        self.shape = shape
        self.affine_ras = np.eye(4)
        self.affine_ras[:3, 3] = LOW
        axes = [np.arange(n, dtype=np.float32) + low for n, low in zip(shape, LOW, strict=True)]
        straight = np.meshgrid(*axes, indexing="ij")
        self.straight = np.stack(straight)
        self.bent = self.straight + np.stack([0.6 * smooth_noise(shape, 60, rng) for _ in range(3)])

    def ellipsoid(self, center: Point, radii: Point, *, paired: bool = False) -> Array:
        """Approximate signed distance (mm, negative inside); `paired`: on both sides."""

        def distance(p: Array) -> Array:
            q = (p - _column(center)) / _column(radii)
            length = np.sqrt((q * q).sum(0)) + 1e-6
            q /= _column(radii)
            return length * (length - 1) / (np.sqrt((q * q).sum(0)) + 1e-6)

        c, r = np.asarray(center), np.asarray(radii)
        return self._evaluate(distance, c - r, c + r, paired)

    def rod(
        self,
        start: Point,
        end: Point,
        radius: float,
        *,
        end_radius: float | None = None,
        paired: bool = False,
    ) -> Array:
        """Signed distance to a rod with round ends, or a round cone."""
        a, axis = np.asarray(start), np.subtract(end, start)
        widening = (end_radius or radius) - radius

        def distance(p: Array) -> Array:
            p = p - _column(start)
            t = np.clip(np.tensordot(axis.astype(np.float32), p, 1) / (axis @ axis), 0, 1)
            p -= _column(axis) * t
            return np.sqrt((p * p).sum(0)) - (radius + np.float32(widening) * t)

        thick = max(radius, radius + widening)
        return self._evaluate(
            distance, np.minimum(a, end) - thick, np.maximum(a, end) + thick, paired
        )

    def bump(self, center: Point, width: float) -> Array:
        """Gaussian of height 1 and standard deviation `width` mm."""
        away = self.bent - _column(center)
        return np.exp(-(away * away).sum(0) / (2 * width * width))

    def ball(self, center: Point, radius: float) -> Array:
        """Signed distance to a ball, not bent: it lies exactly where `center` says."""
        away = self.straight - _column(center)
        return np.sqrt((away * away).sum(0)) - radius

    def _evaluate(
        self, distance: Callable[[Array], Array], low: Array, high: Array, paired: bool
    ) -> Array:
        """Fill a grid with `distance` near the box from `low` to `high`, far away elsewhere."""
        result = np.full(self.shape, FAR, np.float32)
        start = np.clip(low - MARGIN - LOW, 0, None).astype(int)
        stop = np.clip(high + MARGIN - LOW, 0, self.shape).astype(int)
        box = tuple(slice(i, j) for i, j in zip(start, stop, strict=True))
        result[box] = distance(self.bent[:, *box])
        if paired:
            # The left one is the right one seen from the other side: x changes its sign.
            near = np.array([-high[0] - MARGIN, MARGIN - low[0]]) - LOW[0]
            box = (slice(*np.clip(near, 0, None).astype(int)), *box[1:])
            mirrored = self.bent[:, *box] * _column((-1, 1, 1))
            result[box] = np.minimum(result[box], distance(mirrored))
        return result


def _column(values: ArrayLike) -> Array:
    return np.asarray(values, np.float32).reshape(3, 1, 1, 1)


def union(*distances: Array, blend: float = 0.0) -> Array:
    """Union of solids; `blend` mm rounds the seams (polynomial smooth minimum)."""
    result = distances[0]
    for other in distances[1:]:
        if blend:
            h = np.clip(blend - np.abs(result - other), 0, None) / blend
            result = np.minimum(result, other) - h * h * blend / 4
        else:
            result = np.minimum(result, other)
    return result


def inside(distance: Array, edge_mm: float = 1.0) -> Array:
    """Occupancy in [0, 1] with an edge `edge_mm` wide, as partial volume gives."""
    return np.clip(0.5 - distance / edge_mm, 0, 1)


def signed_distance(mask: NDArray[np.bool_]) -> Array:
    """Distance in mm to the surface of `mask`, negative inside."""
    outside = ndimage.distance_transform_edt(~mask)
    within = ndimage.distance_transform_edt(mask)
    return (outside - within).astype(np.float32)
