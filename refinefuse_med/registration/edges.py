"""Agreement of edges, a second opinion beside mutual information.

Where a body has changed its shape between two scans, mutual information follows the
largest matching area, which is the skin, and can slide far along a limb. Edges that both
scans show at one place, in whatever contrast, pull it back.

After Haber & Modersitzki, "Intensity gradient based registration and fusion of
multi-modal images", Methods of Information in Medicine 46 (2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from refinefuse_med.registration.metric import Measure, MutualInformation
from refinefuse_med.registration.pose import Matrix, mapped
from refinefuse_med.registration.sampling import Floats, Image, Samples, Scan, interpolate

__all__ = ["Agreement", "EdgeAgreement"]

SMOOTHING_MM = 5.0
"""Standard deviation; about that of a PET scanner, so that both scans show the same edges."""

EDGE_SHARE = 6.0
"""Nats of mutual information that full agreement of all edges is worth."""


class EdgeAgreement:
    """Mean squared cosine between normalised gradients of both scans.

    Parameters
    ----------
    fixed, moving : Scan
    samples : Samples
        Points of fixed.
    level_mm : float
        Voxel size at which gradients are taken.
    """

    def __init__(self, fixed: Scan, moving: Scan, samples: Samples, level_mm: float) -> None:
        still, moved = fixed.at(level_mm), moving.at(level_mm)
        index = mapped(still.from_lps, samples.offsets_mm + samples.centre_lps[:, None])
        field = _normalised_gradient(still)
        self._fixed = np.stack([interpolate(part, index.astype(np.float32))[0] for part in field])
        self._offsets = samples.offsets_mm
        self._moving = _normalised_gradient(moved)
        self._from_lps = moved.from_lps
        self._last = np.array(moved.values.shape)[:, None] - 1

    def __call__(self, matrix: Matrix) -> tuple[float, NDArray[np.float64]]:
        """Agreement in [0, 1], and its gradient by the entries of the matrix, shape (3, 4)."""
        index = mapped(self._from_lps @ matrix, self._offsets)
        inside = ((index >= 0) & (index <= self._last)).all(axis=0)
        turned = matrix[:3, :3] @ self._fixed
        cosine = np.zeros(index.shape[1])
        by_index = np.zeros(index.shape)
        met = np.empty(index.shape)
        for axis, part in enumerate(self._moving):
            met[axis], slope = interpolate(part, index.astype(np.float32))
            cosine += turned[axis] * met[axis]
            by_index += turned[axis] * slope
        cosine *= inside
        pull = 2 * cosine / cosine.size
        by_point = self._from_lps[:3, :3].T @ (pull * by_index)
        by_linear = by_point @ self._offsets.T + (pull * met) @ self._fixed.T
        gradient = np.column_stack([by_linear, by_point.sum(axis=1)])
        return float((cosine**2).mean()), gradient


class Agreement:
    """Mutual information and the agreement of edges together, as one metric.

    Parameters
    ----------
    information : MutualInformation
    edges : EdgeAgreement
        At the same samples.
    """

    def __init__(self, information: MutualInformation, edges: EdgeAgreement) -> None:
        self.samples = information.samples
        self._information = information
        self._edges = edges

    def __call__(self, matrix: Matrix) -> Measure:
        """Measure a pose, as `MutualInformation` does."""
        found = self._information(matrix)
        value, gradient = self._edges(matrix)
        return Measure(
            found.value + EDGE_SHARE * value,
            found.overlap,
            found.gradient + EDGE_SHARE * gradient,
            found.overlap_gradient,
        )


def _normalised_gradient(image: Image) -> Floats:
    """Gradient in LPS over its own length, shape (3, I, J, K); weak ones fade to nothing."""
    smooth = ndimage.gaussian_filter(image.values, SMOOTHING_MM / image.spacing_mm)
    by_index = np.stack(np.gradient(smooth))
    gradient = np.einsum("ia,i...->a...", image.from_lps[:3, :3], by_index)
    length = np.linalg.norm(gradient, axis=0)
    # What counts as an edge: the mean of the stronger half, so that noise in air does not.
    strong = float(length[length >= np.median(length)].mean())
    return np.asarray(gradient / np.sqrt(length**2 + max(strong, 1e-12) ** 2), dtype=np.float32)
