"""Global search: poses over the whole sphere of rotations, scored on coarse scans."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from refinefuse_med.progress import Monitor
from refinefuse_med.registration.metric import entropy_terms, fixed_bins
from refinefuse_med.registration.pose import Matrix, cube_rotations, displacement_mm, mapped
from refinefuse_med.registration.sampling import Binning, Image, Samples, Scan, draw_samples

__all__ = ["Candidates", "search"]

LEVEL_MM = 8.0
SAMPLES = 1000
BINS = 16
"""Few, since a thousand samples would leave more cells all but empty."""

TILTS_DEGREES = (-30.0, 0.0, 30.0)
STEP_MM = 30.0
"""Distance of the starts where one scan is longer than the other."""

MOST_POSES = 40_000
BATCH = 256
APART_MM = 15.0
"""Poses nearer than this fall to the same optimum; only the better is kept."""


@dataclass(frozen=True)
class Candidates:
    """What a search found.

    Attributes
    ----------
    matrices : list of array, shape (4, 4)
        Offsets from the fixed foreground's centroid to moving, LPS mm, the best first.
    best_overlap : float
        The largest part of the fixed samples inside moving's field of view that any pose
        had.
    """

    matrices: list[Matrix]
    best_overlap: float


def search(
    fixed: Scan, moving: Scan, keep: int, rng: np.random.Generator, monitor: Monitor
) -> Candidates:
    """Find up to `keep` distinct poses, half of them from about the headers' orientation.

    A pose is scored by mutual information times its overlap, as part of the best overlap
    there is: without that, a slab that all but leaves the field of view scores best.
    """
    samples = draw_samples(fixed, LEVEL_MM, SAMPLES, rng)
    rotations, upright = _rotations()
    linear, translations, is_upright = _poses(fixed, moving, samples, rotations, upright)
    score = _Score(samples, moving.at(LEVEL_MM), moving.binning)
    information, overlap = np.empty(len(linear)), np.empty(len(linear))
    for first in range(0, len(linear), BATCH):
        monitor.check()
        rows = slice(first, first + BATCH)
        information[rows], overlap[rows] = score(linear[rows], translations[rows])
    best_overlap = max(float(overlap.max()), 1e-3)
    order = np.argsort(-information * np.minimum(1, overlap / best_overlap), kind="stable")
    matrices = np.tile(np.eye(4), (len(linear), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = linear, translations
    points = samples.offsets_mm[:, ::20]
    chosen = _distinct(matrices, order[is_upright[order]], keep // 2, [], points)
    chosen = _distinct(matrices, order, keep, chosen, points)
    return Candidates([matrices[c] for c in chosen], best_overlap)


def _rotations() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rotations over the whole sphere, (R, 3, 3), and which are near the identity."""
    tilts = Rotation.from_euler(
        "xyz", list(product(TILTS_DEGREES, repeat=3)), degrees=True
    ).as_matrix()
    cube = cube_rotations()
    rotations = np.einsum("tij,cjk->ctik", tilts, cube).reshape(-1, 3, 3)
    return rotations, np.arange(len(rotations)) < len(tilts)


def _poses(
    fixed: Scan,
    moving: Scan,
    samples: Samples,
    rotations: NDArray[np.float64],
    upright: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Every rotation from every start: rotations, translations, near the headers' orientation."""
    centre = samples.centre_lps
    starts = [
        (centre, centre),  # what the headers say
        (_middle(fixed.image), _middle(moving.image)),
        (centre, moving.foreground_lps.mean(axis=1)),
    ]
    fixed_box, moving_box = _box(fixed), _box(moving)
    fixed_half = np.ptp(fixed_box, axis=0) / 2
    moving_half = np.ptp(moving_box, axis=0) / 2
    slack = np.abs(moving_half - np.abs(rotations) @ fixed_half)
    step = STEP_MM
    while (counts := 2 * np.floor(slack / step + 0.5) + 1).prod(axis=1).sum() > MOST_POSES:
        step *= 1.1
    linear, translations, is_upright = [], [], []
    for turn, near, count in zip(rotations, upright, counts.astype(int), strict=True):
        shifts = np.array(list(product(*(step * (np.arange(n) - n // 2) for n in count))))
        points = [to - turn @ (at - centre) for at, to in starts]
        points.extend(moving_box.mean(axis=0) - turn @ (fixed_box.mean(axis=0) - centre) + shifts)
        translations.extend(points)
        linear.extend([turn] * len(points))
        is_upright.extend([near] * len(points))
    return np.array(linear), np.array(translations), np.array(is_upright)


def _middle(image: Image) -> NDArray[np.float64]:
    return mapped(image.affine_lps, (np.array(image.values.shape)[:, None] - 1) / 2)[:, 0]


def _box(scan: Scan) -> NDArray[np.float64]:
    """Lower and upper corner of the foreground without its outliers, LPS mm."""
    corners: NDArray[np.float64] = np.percentile(scan.foreground_lps, (2, 98), axis=1)
    return corners


class _Score:
    """Mutual information and overlap of many poses at once, by nearest voxel."""

    def __init__(self, samples: Samples, moving: Image, binning: Binning) -> None:
        self._offsets = samples.offsets_mm
        self._rows = fixed_bins(samples.positions, BINS) * (BINS + 1)
        self._from_lps = moving.from_lps
        positions, _ = binning(moving.values)
        # A border of one voxel, in a bin of its own, stands for everything outside.
        self._bins = np.pad(fixed_bins(positions, BINS).astype(np.uint8), 1, constant_values=BINS)

    def __call__(
        self, linear: NDArray[np.float64], translations: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        to_index = self._from_lps[:3, :3] @ linear
        shift = translations @ self._from_lps[:3, :3].T + self._from_lps[:3, 3]
        x, y, z = self._offsets
        flat = np.zeros((len(linear), x.size), dtype=np.intp)
        for axis, size in enumerate(self._bins.shape):
            a, b, c = to_index[:, axis].T[..., None]
            index = a * x + b * y + c * z + shift[:, axis, None]
            flat *= size
            flat += np.clip(np.rint(index) + 1, 0, size - 1).astype(np.intp)
        cells = BINS * (BINS + 1)
        joint = self._bins.ravel().take(flat) + self._rows
        joint += np.arange(len(linear))[:, None] * cells
        counts = np.bincount(joint.ravel(), minlength=len(linear) * cells)
        inside = counts.reshape(-1, BINS, BINS + 1)[:, :, :BINS].astype(np.float64)
        total = inside.sum(axis=(1, 2))
        density = inside / np.maximum(total, 1)[:, None, None]
        information = (density * entropy_terms(density)).sum(axis=(1, 2))
        return information, total / x.size


def _distinct(
    matrices: NDArray[np.float64],
    order: NDArray[np.intp],
    keep: int,
    chosen: list[int],
    points: NDArray[np.float64],
) -> list[int]:
    """Add the best poses in `order` to `chosen` that lie apart from all of them."""
    chosen = list(chosen)
    for pose in order:
        if len(chosen) >= keep:
            break
        if all(displacement_mm(matrices[pose], matrices[c], points) > APART_MM for c in chosen):
            chosen.append(int(pose))
    return chosen
