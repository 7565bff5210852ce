"""Mutual information with a B-spline Parzen window, and its exact gradient.

After Mattes et al., IEEE Trans. Med. Imaging 22 (2003), with one change: a sample's
weight falls linearly to zero over the outermost voxel of moving's field of view, so that
the metric stays smooth where samples leave it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.registration.pose import Matrix, mapped
from refinefuse_med.registration.sampling import Binning, Floats, Image, Samples, interpolate

__all__ = ["BINS", "Measure", "MutualInformation", "PointMeasure", "entropy_terms", "fixed_bins"]

BINS = 32

BLOCK = 1 << 14
"""Samples at a time: their arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Measure:
    """Mutual information of one pose.

    Attributes
    ----------
    value : float
        In nats.
    overlap : float
        Weighted part of the samples inside moving's field of view, in [0, 1].
    gradient, overlap_gradient : array, shape (3, 4)
        By the entries of the matrix about the samples' centre.
    """

    value: float
    overlap: float
    gradient: NDArray[np.float64]
    overlap_gradient: NDArray[np.float64]


@dataclass(frozen=True)
class PointMeasure:
    """Mutual information of samples that were each brought somewhere.

    Attributes
    ----------
    value, overlap : float
        As in `Measure`.
    gradient : array, shape (3, N)
        Of `value`, by the LPS mm place of each sample in moving.
    """

    value: float
    overlap: float
    gradient: NDArray[np.float64]


def fixed_bins(positions: Floats, bins: int = BINS) -> NDArray[np.intp]:
    """Bin number of each fixed sample: a zero-order window."""
    return np.minimum((positions * bins).astype(np.intp), bins - 1)


def entropy_terms(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log p(f, m) / (p(f) p(m)) of histograms (..., F, M) that sum to 1; zero where p is zero."""
    independent = joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(joint > 0, np.log(joint / independent), 0.0)


@dataclass(frozen=True)
class _Block:
    """What the gradient needs of one block of samples once the histogram is known."""

    rows: slice
    """Its samples."""
    cells: NDArray[np.intp]
    """First of the four histogram cells that each sample falls into."""
    window: list[Floats]
    weight: Floats
    weight_gradient: Floats
    window_gradient: list[Floats]
    """By the value, for each of the four cells."""
    value_gradient: Floats


class MutualInformation:
    """Mutual information of the fixed samples and one moving image.

    Parameters
    ----------
    samples : Samples
    moving : Image
    binning : Binning
        Of moving.
    """

    def __init__(self, samples: Samples, moving: Image, binning: Binning) -> None:
        self.samples = samples
        self._moving = moving
        self._binning = binning
        self._rows = fixed_bins(samples.positions) * BINS
        self._last = np.array(moving.values.shape, dtype=np.float32)[:, None] - 1

    def __call__(self, matrix: Matrix) -> Measure:
        """Measure a pose.

        Parameters
        ----------
        matrix : array, shape (4, 4)
            Maps offsets from the samples' centre to moving, LPS mm.
        """
        offsets = self.samples.offsets_mm
        to_index = self._moving.from_lps @ matrix
        blocks = [
            self._block(mapped(to_index, offsets[:, rows]), rows) for rows in self._block_rows()
        ]
        information, total, pulls = self._shared(blocks)
        count = len(self._rows)
        gradient, overlap_gradient = np.zeros((3, 4)), np.zeros((3, 4))
        if not pulls:
            return Measure(information, total / count, gradient, overlap_gradient)
        for pull, block in zip(pulls, blocks, strict=True):
            gradient += self._by_matrix(pull, offsets[:, block.rows])
            overlap_gradient += self._by_matrix(block.weight_gradient, offsets[:, block.rows])
        return Measure(information, total / count, gradient / total, overlap_gradient / count)

    def at_points(self, points_lps: NDArray[np.float64]) -> PointMeasure:
        """Measure with the samples brought anywhere.

        Parameters
        ----------
        points_lps : array, shape (3, N)
            Where in moving each sample comes to lie, LPS mm.
        """
        to_index = self._moving.from_lps
        blocks = [
            self._block(mapped(to_index, points_lps[:, rows]), rows) for rows in self._block_rows()
        ]
        information, total, pulls = self._shared(blocks)
        gradient = np.zeros(points_lps.shape)
        if pulls:
            gradient = to_index[:3, :3].T @ np.concatenate(pulls, axis=1) / total
        return PointMeasure(information, total / len(self._rows), gradient)

    def _block_rows(self) -> list[slice]:
        return [slice(first, first + BLOCK) for first in range(0, len(self._rows), BLOCK)]

    def _shared(self, blocks: list[_Block]) -> tuple[float, float, list[NDArray[np.floating]]]:
        """Information, weight of all samples, and that weight times the gradient by each index.

        Where hardly a sample is inside, nothing is shared, and there is no gradient.
        """
        counts = np.zeros(BINS * BINS)
        for block in blocks:
            for step, window in enumerate(block.window):
                counts += np.bincount(block.cells + step, block.weight * window, BINS * BINS)
        total = float(counts.sum())
        if total < 1e-3 * len(self._rows):
            return 0.0, total, []
        joint = (counts / total).reshape(BINS, BINS)
        terms = entropy_terms(joint)
        information = float((joint * terms).sum())
        pulls = []
        for block in blocks:
            found = [terms.ravel().take(block.cells + step) for step in range(4)]
            by_value = sum(f * g for f, g in zip(found, block.window_gradient, strict=True))
            by_weight = sum(f * w for f, w in zip(found, block.window, strict=True)) - information
            by_index = block.weight * by_value * block.value_gradient
            pulls.append(by_index + by_weight * block.weight_gradient)
        return information, total, pulls

    def _block(self, at_index: NDArray[np.float64], rows: slice) -> _Block:
        index = at_index.astype(np.float32)
        weight, weight_gradient = self._weights(index)
        value, value_gradient = interpolate(self._moving.values, index)
        position, slope = self._binning(value)
        at = 1 + position * (BINS - 3)
        lowest = np.minimum(at.astype(np.intp), BINS - 3)
        window, window_slope = _cubic_bspline(at - lowest.astype(np.float32))
        slope = slope * np.float32(BINS - 3)
        return _Block(
            rows,
            self._rows[rows] + (lowest - 1),
            window,
            weight,
            weight_gradient,
            [slope * s for s in window_slope],
            value_gradient,
        )

    def _weights(self, index: Floats) -> tuple[Floats, Floats]:
        """Weights, shape (N,): 1 within the outer voxel centres, 0 a voxel beyond; gradient."""
        below = np.clip(1 + index, 0, 1)
        above = np.clip(1 + self._last - index, 0, 1)
        ramps = below * above
        slopes = ((index < 0) & (below > 0)).astype(np.float32)
        slopes -= (index > self._last) & (above > 0)
        a, b, c = ramps
        slopes *= np.stack([b * c, a * c, a * b])
        return a * b * c, slopes

    def _by_matrix(
        self, by_index: NDArray[np.floating], offsets_mm: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        by_lps = self._moving.from_lps[:3, :3].T @ by_index
        return np.column_stack([by_lps @ offsets_mm.T, by_lps.sum(axis=1)])


def _cubic_bspline(t: Floats) -> tuple[list[Floats], list[Floats]]:
    """Weights of the four bins around a position `t` above the second, and derivatives."""
    s = np.float32(1) - t
    t2, s2 = t * t, s * s
    half, third = np.float32(1 / 2), np.float32(1 / 3)
    weights: list[Floats] = [
        s2 * s * half * third,
        2 * third - t2 * (1 - half * t),
        2 * third - s2 * (1 - half * s),
        t2 * t * half * third,
    ]
    slopes: list[Floats] = [-half * s2, t * (1.5 * t - 2), s * (2 - 1.5 * s), half * t2]
    return weights, slopes
