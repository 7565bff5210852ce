"""Whether what one scan alone shows can still be seen in the fused picture.

A lesion is simulated in one source alone, which is then shown with it and without it, under
several realisations of the noise of both sources. What changes between the two is the
signal that a reader who knows the patient's anatomy looks for, and the spread over the
realisations is the noise it has to stand out from. Each measure is a ratio, fused over
source: 1 means that the fused picture shows the lesion as well as the scan it is in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Pictures = NDArray[np.float64]

__all__ = ["LesionSignal", "Visibility", "lesion_signal", "visibility"]


@dataclass(frozen=True)
class LesionSignal:
    """A lesion in the pictures of one kind.

    Attributes
    ----------
    contrast : float
        Mean change of the lesion, in the values' units. Of grey pictures it has a sign:
        negative where the lesion is darker than what it replaces; of colours it is the
        length of the mean change.
    contrast_to_noise : float
        Its magnitude over the standard deviation of a pixel.
    detectability : float
        d' of the ideal observer of a lesion known exactly, on a background known exactly,
        in noise that is independent from pixel to pixel.
    """

    contrast: float
    contrast_to_noise: float
    detectability: float


@dataclass(frozen=True)
class Visibility:
    """Fused over source.

    Attributes
    ----------
    contrast : float
        Negative where a dark lesion has become a bright one.
    contrast_to_noise, detectability : float
        0 or more; above 1 where the other scan's calm outweighs a loss of contrast.
    """

    contrast: float
    contrast_to_noise: float
    detectability: float

    def to_dict(self) -> dict[str, float]:
        """Give the measures by name."""
        return asdict(self)


def lesion_signal(with_lesion: ArrayLike, without: ArrayLike, lesion: ArrayLike) -> LesionSignal:
    """Measure a lesion.

    Parameters
    ----------
    with_lesion, without : array, shape (N, H, W) or (N, H, W, C); N >= 2
        The same N realisations of the noise, with the lesion and without it. The last axis,
        where it is there, is colour, in a space where distances mean something (CIE L*a*b*).
    lesion : array of bool, shape (H, W)
        The core of the lesion.

    References
    ----------
    Barrett & Myers, Foundations of Image Science, 2004, 13.2.12 (ideal observer for a
    signal known exactly in Gaussian noise: d'^2 = s^T K^-1 s, here with diagonal K).
    """
    shown, background = (_with_channels(p) for p in (with_lesion, without))
    core = np.asarray(lesion, dtype=bool)
    signal = (shown - background).mean(axis=0)
    # Of a pixel the noise of both states, since fusion may change it with what it shows.
    variance = (shown.var(axis=0, ddof=1) + background.var(axis=0, ddof=1)).sum(axis=-1) / 2
    tiny = np.finfo(np.float64).tiny
    mean_change = signal[core].mean(axis=0)
    contrast = float(mean_change[0] if signal.shape[-1] == 1 else np.linalg.norm(mean_change))
    noise = float(np.sqrt(max(variance[core].mean(), tiny)))
    # Pooled over the region in which the signal is: N realisations say little of one pixel.
    power = np.square(signal).sum(axis=-1)
    region = power > 0.01 * power.max() if power.max() > 0 else core
    pooled = max(float(variance[region].mean()), tiny)
    return LesionSignal(
        contrast, abs(contrast) / noise, float(np.sqrt(power[region].sum() / pooled))
    )


def visibility(fused: LesionSignal, source: LesionSignal) -> Visibility:
    """Compare a lesion in the fused picture with the same in the scan that has it.

    Raises
    ------
    ValueError
        The source does not show it.
    """
    if source.contrast == 0.0:
        raise ValueError("the source does not show this lesion")
    return Visibility(
        fused.contrast / source.contrast,
        fused.contrast_to_noise / source.contrast_to_noise,
        fused.detectability / source.detectability,
    )


def _with_channels(pictures: ArrayLike) -> Pictures:
    values = np.asarray(pictures, dtype=np.float64)
    return values[..., None] if values.ndim == 3 else values
