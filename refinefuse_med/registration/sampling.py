"""What mutual information looks at: coarse copies of a scan, its foreground, sample points."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy import ndimage

from refinefuse_med.registration.pose import Matrix, mapped
from refinefuse_med.volume import affine_lps

__all__ = ["Binning", "Image", "Samples", "Scan", "draw_samples", "interpolate"]

CLIP_PERCENTILES = (0.2, 99.9)
"""A few hot voxels (bladder, metal) must not take up all the bins."""

QUANTILE_SHARE = 0.25
"""Part of a bin position that is the value's rank; the rest is linear in the value."""

MASK_LEVEL_MM = 4.0
MASK_MARGIN_MM = 12.0
"""The foreground is grown by this much, so that the skin's outer side is sampled too."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Image:
    """Values of shape (I, J, K), float32, and their affine, voxel index to LPS mm."""

    values: Floats
    affine_lps: Matrix

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along I, J, K."""
        return np.asarray(np.linalg.norm(self.affine_lps[:3, :3], axis=0), dtype=np.float64)

    @cached_property
    def from_lps(self) -> Matrix:
        """LPS mm to voxel index."""
        return np.asarray(np.linalg.inv(self.affine_lps), dtype=np.float64)


@dataclass(frozen=True)
class Binning:
    """Monotone map of values to bin positions in [0, 1], a piecewise linear table.

    Attributes
    ----------
    low, high : float
        Values outside are clipped.
    table : array, shape (n,)
        Positions at n values evenly spaced from `low` to `high`.
    """

    low: float
    high: float
    table: Floats

    def __call__(self, values: Floats) -> tuple[Floats, Floats]:
        """Positions of `values`, and the derivatives by the value."""
        cells = len(self.table) - 1
        scale = np.float32(cells / (self.high - self.low))
        at = np.clip((values - np.float32(self.low)) * scale, 0, cells)
        cell = np.minimum(at.astype(np.intp), cells - 1)
        rise = np.diff(self.table)[cell]
        position = self.table[cell] + (at - cell.astype(np.float32)) * rise
        slope = np.where((at > 0) & (at < cells), rise * scale, np.float32(0))
        return position, slope


@dataclass
class Scan:
    """One scan made ready for mutual information."""

    image: Image
    _levels: dict[float, Image] = field(default_factory=dict)

    @classmethod
    def of(cls, volume: MetaTensor) -> Scan:
        """Make a scan of a volume of one channel, without copying its values."""
        values = volume.as_tensor().detach().cpu().numpy()[0]
        return cls(Image(np.ascontiguousarray(values, dtype=np.float32), affine_lps(volume)))

    def at(self, level_mm: float) -> Image:
        """The scan averaged to voxels of about `level_mm`; 0 is the scan itself."""
        if level_mm not in self._levels:
            self._levels[level_mm] = _averaged(self.image, level_mm)
        return self._levels[level_mm]

    @cached_property
    def binning(self) -> Binning:
        """How values of this scan become bin positions."""
        values = self.image.values.ravel()
        values = values[:: max(1, values.size // 500_000)]
        low, high = (float(v) for v in np.percentile(values, CLIP_PERCENTILES))
        if low == high:  # all but a few voxels have one value
            low, high = float(self.image.values.min()), float(self.image.values.max())
        knots = np.linspace(low, high, 129)
        # Ranks among the values above the floor: air would else take half of them.
        ranked = np.sort(values[values > low])
        rank = np.searchsorted(ranked, knots, side="right") / max(1, ranked.size)
        linear = np.linspace(0, 1, knots.size)
        table = (1 - QUANTILE_SHARE) * linear + QUANTILE_SHARE * rank
        return Binning(low, high, table.astype(np.float32))

    @cached_property
    def foreground(self) -> NDArray[np.bool_]:
        """Where the patient is, on the grid of ``at(MASK_LEVEL_MM)``."""
        position, _ = self.binning(self.at(MASK_LEVEL_MM).values)
        mask = ndimage.binary_fill_holes(position > _cross_entropy_threshold(position))
        labels, count = ndimage.label(mask)
        if count == 0:
            return np.ones(position.shape, dtype=bool)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        return np.isin(labels, np.flatnonzero(sizes >= sizes.max() / 10))

    @cached_property
    def foreground_lps(self) -> NDArray[np.float64]:
        """Centres of the foreground voxels, LPS mm, shape (3, N)."""
        return mapped(self.at(MASK_LEVEL_MM).affine_lps, np.stack(np.nonzero(self.foreground)))


@dataclass(frozen=True)
class Samples:
    """Points of the fixed scan, and its bin positions there.

    Attributes
    ----------
    centre_lps : array, shape (3,)
    offsets_mm : array, shape (3, N)
        Points relative to `centre_lps`, LPS.
    positions : array, shape (N,)
        In [0, 1], see `Binning`.
    """

    centre_lps: NDArray[np.float64]
    offsets_mm: NDArray[np.float64]
    positions: Floats

    @property
    def radius_mm(self) -> float:
        """Root mean square distance from the centre."""
        return float(np.sqrt((self.offsets_mm**2).sum(axis=0).mean()))


def draw_samples(scan: Scan, level_mm: float, count: int, rng: np.random.Generator) -> Samples:
    """Draw points inside the grown foreground, evenly spread, off the voxel grid.

    Points on the grid would make the metric jump whenever both grids fall into step.
    """
    mask = scan.at(MASK_LEVEL_MM)
    distance = ndimage.distance_transform_edt(~scan.foreground, sampling=mask.spacing_mm)
    inside = np.stack(np.nonzero(distance <= MASK_MARGIN_MM))
    # One draw from each of `count` equal runs of voxels: less noise than free draws.
    voxels = inside.shape[1]
    chosen = ((np.arange(count) + rng.random(count)) * (voxels / count)).astype(np.intp)
    index = inside[:, np.minimum(chosen, voxels - 1)] + rng.uniform(-0.5, 0.5, (3, count))
    points = mapped(mask.affine_lps, index)
    image = scan.at(level_mm)
    values, _ = interpolate(image.values, mapped(image.from_lps, points).astype(np.float32))
    centre = scan.foreground_lps.mean(axis=1)
    return Samples(centre, points - centre[:, None], scan.binning(values)[0])


def interpolate(values: Floats, index: Floats) -> tuple[Floats, Floats]:
    """Trilinear values and their gradient by the voxel index; edge values go on outside.

    Parameters
    ----------
    values : array, shape (I, J, K)
        At least two voxels along each axis.
    index : array, shape (3, N)

    Returns
    -------
    values : array, shape (N,)
    gradient : array, shape (3, N)
        Zero along an axis on which the point is outside.
    """
    fractions, lowers, inner = [], [], []
    for at, size in zip(index, values.shape, strict=True):
        clipped = np.clip(at, 0, size - 1)
        lower = np.minimum(clipped.astype(np.intp), size - 2)
        fractions.append(clipped - lower.astype(np.float32))
        lowers.append(lower)
        inner.append(clipped == at)
    _, size_j, size_k = values.shape
    flat = (lowers[0] * size_j + lowers[1]) * size_k + lowers[2]
    stored = values.reshape(-1)
    step_i, step_j = size_j * size_k, size_k
    x, y, z = fractions

    def along_k(offset: int) -> tuple[Floats, Floats]:
        low = stored.take(flat + offset)
        rise = stored.take(flat + (offset + 1)) - low
        return low + z * rise, rise

    c00, r00 = along_k(0)
    c01, r01 = along_k(step_j)
    c10, r10 = along_k(step_i)
    c11, r11 = along_k(step_i + step_j)
    c0, c1 = c00 + y * (c01 - c00), c10 + y * (c11 - c10)
    r0, r1 = r00 + y * (r01 - r00), r10 + y * (r11 - r10)
    d0, d1 = c01 - c00, c11 - c10
    gradient = np.stack(
        [(c1 - c0) * inner[0], (d0 + x * (d1 - d0)) * inner[1], (r0 + x * (r1 - r0)) * inner[2]]
    )
    return c0 + x * (c1 - c0), gradient


def _cross_entropy_threshold(positions: Floats) -> float:
    """Threshold of Li and Tam (1998); bright spots of PET mislead Otsu's."""
    threshold = float(positions.mean())
    for _ in range(50):
        above = positions > threshold
        if above.all() or not above.any():
            break
        low = max(float(positions[~above].mean()), 1e-6)
        high = float(positions[above].mean())
        previous, threshold = threshold, (high - low) / (np.log(high) - np.log(low))
        if abs(threshold - previous) < 1e-4:
            break
    return threshold


def _averaged(image: Image, level_mm: float) -> Image:
    wanted = np.rint(level_mm / image.spacing_mm).astype(int)
    # At least four voxels stay along each axis, or there is nothing to interpolate.
    factors = np.clip(wanted, 1, np.maximum(1, np.array(image.values.shape) // 4))
    if (factors == 1).all():
        return image
    kernel = [int(f) for f in factors]
    mean = torch.nn.functional.avg_pool3d(torch.from_numpy(image.values)[None], kernel)[0]
    shrink = np.diag([*factors.astype(float), 1.0])
    shrink[:3, 3] = (factors - 1) / 2
    return Image(mean.numpy(), image.affine_lps @ shrink)
