"""From images in the order of K to the slices of a grid: set upright, interpolated, gathered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.io.geometry import StackGeometry, upright

__all__ = ["fill"]

_BLOCK: Final = 16
"""Slices gathered before they are written into the volume, in which they are far apart."""

_ROWS: Final = 8
"""Rows of them that are written at a time: few enough to stay in the cache."""


def fill(
    volume: NDArray[Any],
    planes: Iterable[NDArray[Any]],
    geometry: StackGeometry,
    background: float = 0.0,
) -> None:
    """Write the images of a stack into its volume, holding only a few of them at a time.

    Parameters
    ----------
    volume : array, shape (I, J, K) or (C, I, J, K)
        Where to write.
    planes : iterable of array, shape (I, J) or (C, I, J)
        The images, in the order of K.
    geometry : StackGeometry
        Which says whether they have to be moved or interpolated.
    background : float
        The value of places that were not scanned.
    """
    *channels, i, j, _ = volume.shape
    block = np.empty((_BLOCK, *channels, j, i), dtype=volume.dtype)
    waiting = 0
    done = 0

    def flush() -> None:
        nonlocal waiting, done
        for row in range(0, j, _ROWS):
            part = block[:waiting, ..., row : row + _ROWS, :]
            volume[..., row : row + _ROWS, done : done + waiting] = np.moveaxis(
                part.swapaxes(-1, -2), 0, -1
            )
        done, waiting = done + waiting, 0

    # What only one of two slices has scanned is not known between them.
    mixed = geometry.shifts is not None and geometry.places is not None and not channels
    beyond = np.nan if mixed else background
    for plane in _interpolated(_upright(planes, geometry, (i, j), beyond), geometry):
        if mixed:
            plane = np.where(np.isnan(plane), volume.dtype.type(background), plane)
        block[waiting] = plane.swapaxes(-1, -2)
        waiting += 1
        if waiting == _BLOCK:
            flush()
    flush()


def _upright(
    planes: Iterable[NDArray[Any]],
    geometry: StackGeometry,
    size: tuple[int, int],
    background: float,
) -> Iterable[NDArray[Any]]:
    if geometry.shifts is None:
        return planes
    shifts = geometry.shifts

    def move(plane: NDArray[Any], k: int) -> NDArray[Any]:
        if plane.ndim == 2:
            return upright(plane, shifts[k], size, background)
        return np.stack([upright(channel, shifts[k], size, background) for channel in plane])

    return (move(plane, k) for k, plane in enumerate(planes))


def _interpolated(
    planes: Iterable[NDArray[Any]], geometry: StackGeometry
) -> Iterable[NDArray[Any]]:
    """Linear between two neighbours, at the places of the even grid."""
    if geometry.places is None:
        yield from planes
        return
    places = list(geometry.places)
    before: NDArray[Any] | None = None
    for number, plane in enumerate(planes):
        while places and places[0] <= number + 1e-6:
            weight = round(min(1.0, max(0.0, places.pop(0) - (number - 1))), 6)
            yield plane if before is None else _between(before, plane, weight)
        before = plane
    for _ in places:  # the last, by an error of rounding
        assert before is not None
        yield before


def _between(before: NDArray[Any], after: NDArray[Any], weight: float) -> NDArray[Any]:
    if weight in (0.0, 1.0):  # also where the other one has no value
        return after if weight else before
    mixed = before * np.float32(1 - weight) + after * np.float32(weight)
    return np.rint(mixed).astype(after.dtype) if after.dtype == np.uint8 else mixed
