"""Metrics of a fused picture, as the image fusion literature defines and reports them.

Every function takes two-dimensional arrays of grey values in [0, 255] (luminance, where
a source has colour) and gives a float. All but the fidelity to each source are
computed in the conventions of the evaluation code that published tables share, which
the docstrings state, so that numbers can be set beside those tables.

`SD`, `SF`, `AG` and `EN` look at the fused picture alone; `MI`, `SCD`, `VIF`, `Qabf`
and `SSIM` compare it with both sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage, signal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Picture = NDArray[np.float64]

__all__ = [
    "FUSION_METRICS",
    "average_gradient",
    "edge_preservation",
    "entropy",
    "evaluate_fusion",
    "mutual_information",
    "spatial_frequency",
    "standard_deviation",
    "structural_similarity",
    "sum_of_correlations_of_differences",
    "visual_information_fidelity",
]

FUSION_METRICS: Final = ("SD", "SF", "AG", "EN", "MI", "SCD", "VIF", "Qabf", "SSIM")
"""Names of what `evaluate_fusion` gives, higher being better for each."""

DATA_RANGE: Final = 255.0


def standard_deviation(fused: ArrayLike) -> float:
    """Standard deviation of the grey values (SD): the contrast.

    Parameters
    ----------
    fused : array, shape (H, W), in [0, 255]
    """
    return float(_picture(fused).std())


def spatial_frequency(fused: ArrayLike) -> float:
    """Spatial frequency (SF): root of the mean squared differences along rows and columns.

    Parameters
    ----------
    fused : array, shape (H, W), in [0, 255]; H, W >= 2

    References
    ----------
    Eskicioglu & Fisher, "Image quality measures and their performance", IEEE
    Transactions on Communications 43(12), 1995.
    """
    picture = _picture(fused)
    rows = np.square(np.diff(picture, axis=1)).mean()
    columns = np.square(np.diff(picture, axis=0)).mean()
    return float(np.sqrt(rows + columns))


def average_gradient(fused: ArrayLike) -> float:
    """Average gradient (AG): the mean of ``sqrt((gx^2 + gy^2) / 2)``.

    Central differences inside, one-sided ones at the border.

    Parameters
    ----------
    fused : array, shape (H, W), in [0, 255]; H, W >= 2

    References
    ----------
    Cui et al., "Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition", Optics Communications 341, 2015.
    """
    gy, gx = np.gradient(_picture(fused))
    return float(np.sqrt((gx**2 + gy**2) / 2).mean())


def entropy(fused: ArrayLike) -> float:
    """Shannon entropy (EN) of the 256-bin histogram, in bits.

    Parameters
    ----------
    fused : array, shape (H, W), in [0, 255]; rounded to whole grey values

    References
    ----------
    Roberts, van Aardt & Ahmed, "Assessment of image fusion procedures using entropy,
    image quality, and multispectral classification", J. Applied Remote Sensing 2, 2008.
    """
    histogram = np.bincount(_levels(fused).ravel(), minlength=256) / np.size(fused)
    occupied = histogram[histogram > 0]
    return float(-(occupied * np.log2(occupied)).sum())


def mutual_information(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Mutual information (MI) of the fused picture with each source, summed, in nats.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]; rounded to whole grey values

    References
    ----------
    Qu, Zhang & Yan, "Information measure for performance of image fusion", Electronics
    Letters 38(7), 2002.
    """
    return _mutual_information(fused, a) + _mutual_information(fused, b)


def sum_of_correlations_of_differences(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Sum of the correlations of differences (SCD): ``r(F - B, A) + r(F - A, B)``, in [-2, 2].

    A correlation with a constant picture counts as 0.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]

    References
    ----------
    Aslantas & Bendes, "A new image quality metric for image fusion: the sum of the
    correlations of differences", AEU 69(12), 2015.
    """
    f, a, b = _picture(fused), _picture(a), _picture(b)
    return _correlation(f - b, a) + _correlation(f - a, b)


def visual_information_fidelity(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Visual information fidelity (VIF) in the pixel domain to each source, summed.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]; H, W >= 41, for the four scales

    References
    ----------
    Sheikh & Bovik, "Image information and visual quality", IEEE Transactions on Image
    Processing 15(2), 2006; the authors' `vifp_mscale`.
    """
    return _vif(_picture(a), _picture(fused)) + _vif(_picture(b), _picture(fused))


def edge_preservation(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Edge information transferred from both sources (Qabf), in [0, 1].

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]

    References
    ----------
    Xydeas & Petrovic, "Objective image fusion performance measure", Electronics Letters
    36(4), 2000.
    """
    strength_f, angle_f = _edges(_picture(fused))
    strength_a, angle_a = _edges(_picture(a))
    strength_b, angle_b = _edges(_picture(b))
    weights = float((strength_a + strength_b).sum())
    if weights == 0.0:
        return 0.0
    kept_a = _edge_transfer(strength_a, angle_a, strength_f, angle_f)
    kept_b = _edge_transfer(strength_b, angle_b, strength_f, angle_f)
    return float((kept_a * strength_a + kept_b * strength_b).sum() / weights)


def structural_similarity(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Structural similarity (SSIM) to each source, summed, in [-2, 2].

    Uniform windows of 7 x 7, sample covariance, data range 255, averaged where the
    window lies inside.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]; H, W >= 7

    References
    ----------
    Wang, Bovik, Sheikh & Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    f = _picture(fused)
    return _ssim(f, _picture(a)) + _ssim(f, _picture(b))


def evaluate_fusion(fused: ArrayLike, a: ArrayLike, b: ArrayLike) -> dict[str, float]:
    """Give all of `FUSION_METRICS` for one fused picture.

    Parameters
    ----------
    fused, a, b : array, shape (H, W), in [0, 255]; H, W >= 41
    """
    return {
        "SD": standard_deviation(fused),
        "SF": spatial_frequency(fused),
        "AG": average_gradient(fused),
        "EN": entropy(fused),
        "MI": mutual_information(fused, a, b),
        "SCD": sum_of_correlations_of_differences(fused, a, b),
        "VIF": visual_information_fidelity(fused, a, b),
        "Qabf": edge_preservation(fused, a, b),
        "SSIM": structural_similarity(fused, a, b),
    }


def _picture(values: ArrayLike) -> Picture:
    return np.asarray(values, dtype=np.float64)


def _levels(values: ArrayLike) -> NDArray[np.int64]:
    return np.clip(np.rint(_picture(values)), 0, 255).astype(np.int64)


def _mutual_information(x: ArrayLike, y: ArrayLike) -> float:
    joint = np.bincount((_levels(x) * 256 + _levels(y)).ravel(), minlength=256 * 256)
    p = joint.reshape(256, 256) / np.size(x)
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    occupied = p > 0
    return float((p[occupied] * np.log(p[occupied] / independent[occupied])).sum())


def _correlation(x: Picture, y: Picture) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm > 0.0 else 0.0


def _vif(reference: Picture, distorted: Picture) -> float:
    noise, tiny = 2.0, 1e-10
    kept = total = 0.0
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        taps = signal.windows.gaussian(size, size / 5.0)
        taps /= taps.sum()

        if scale > 1:
            reference = _valid(reference, taps)[::2, ::2]
            distorted = _valid(distorted, taps)[::2, ::2]
        mean_r, mean_d = _valid(reference, taps), _valid(distorted, taps)
        var_r = np.maximum(_valid(reference**2, taps) - mean_r**2, 0.0)
        var_d = np.maximum(_valid(distorted**2, taps) - mean_d**2, 0.0)
        covariance = _valid(reference * distorted, taps) - mean_r * mean_d

        gain = covariance / (var_r + tiny)
        residual = var_d - gain * covariance
        gain[var_r < tiny] = 0.0
        residual[var_r < tiny] = var_d[var_r < tiny]
        var_r[var_r < tiny] = 0.0
        gain[var_d < tiny] = 0.0
        residual[var_d < tiny] = 0.0
        residual[gain < 0] = var_d[gain < 0]
        gain = np.maximum(gain, 0.0)
        residual = np.maximum(residual, tiny)

        kept += float(np.log10(1 + gain**2 * var_r / (residual + noise)).sum())
        total += float(np.log10(1 + var_r / noise).sum())
    return kept / total if total > 0.0 else 0.0


def _valid(picture: Picture, taps: Picture) -> Picture:
    smooth: Picture = ndimage.correlate1d(ndimage.correlate1d(picture, taps, axis=0), taps, axis=1)
    margin = len(taps) // 2
    return smooth[margin:-margin, margin:-margin]


def _edges(picture: Picture) -> tuple[Picture, Picture]:
    gx = ndimage.sobel(picture, axis=1, mode="constant")
    gy = ndimage.sobel(picture, axis=0, mode="constant")
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.where(gx == 0, np.pi / 2, np.arctan(gy / gx))
    return np.hypot(gx, gy), angle


def _edge_transfer(
    source: Picture, angle_source: Picture, fused: Picture, angle_fused: Picture
) -> Picture:
    stronger, weaker = np.maximum(source, fused), np.minimum(source, fused)
    # Equal strengths, zero included, transfer the strength itself in the reference code.
    relative = np.where(source == fused, fused, weaker / np.where(stronger > 0, stronger, 1.0))
    aligned = 1 - np.abs(angle_source - angle_fused) / (np.pi / 2)
    by_strength = 0.9994 / (1 + np.exp(-15 * (relative - 0.5)))
    by_angle = 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))
    return by_strength * by_angle


def _ssim(x: Picture, y: Picture) -> float:
    window = 7
    unbiased = window**2 / (window**2 - 1)
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        ndimage.uniform_filter(p, size=window) for p in (x, y, x * x, y * y, x * y)
    )
    var_x = unbiased * (mean_xx - mean_x**2)
    var_y = unbiased * (mean_yy - mean_y**2)
    covariance = unbiased * (mean_xy - mean_x * mean_y)
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    margin = window // 2
    return float(similarity[margin:-margin, margin:-margin].mean())
