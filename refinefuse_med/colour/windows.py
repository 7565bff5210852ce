"""Windows: which values are shown black and which white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch

from refinefuse_med.volume import Keys, get_meta, modality_of

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from numpy.typing import NDArray

    Values = NDArray[np.float32]

__all__ = [
    "ANATOMY_WHITE",
    "BONE_HU",
    "SOFT_TISSUE_HU",
    "UPTAKE_MODALITIES",
    "Role",
    "apply_window",
    "auto_window",
]

Role = Literal["anatomical", "functional"]

SOFT_TISSUE_HU: Final = (-160.0, 240.0)
"""CT as anatomy: the usual abdomen and soft-tissue window, centre 40, width 400 HU."""

BONE_HU: Final = (0.0, 1000.0)
"""CT in the functional role, where it brings the bone: water is black, soft tissue below a
tenth of the scale so that the MRI shows through, cortical bone white."""

ANATOMY_WHITE: Final = 0.8
"""Level at which the brightest tissue of an anatomical MR is shown. On white there is no room
for a colour, nor for an uptake or a bone that is brighter than the tissue around it."""

UPTAKE_MODALITIES: Final = frozenset({"PT", "NM"})
"""What shows uptake, and is no anatomy for MR or CT."""

_WHITE_PERCENTILE: Final = 99.5
_BOTTOM_PERCENTILE: Final = 0.1
_AIR_FRACTION: Final = 0.1
_MAX_SAMPLES: Final = 2_000_000


def auto_window(
    volume: MetaTensor,
    mask: torch.Tensor | None = None,
    *,
    role: Role = "anatomical",
) -> tuple[float, float]:
    """Choose a window by modality.

    CT in HU
        `SOFT_TISSUE_HU` as anatomy, `BONE_HU` in the functional role.
    PT, NM
        From 0, so that no uptake is black, to the 99.5th percentile of the foreground.
    MR and all others
        From the median of the air, so that the background is black and not noisy grey, to
        the 99.5th percentile of the foreground. Air is what lies in the lowest tenth of
        the range; a volume without any starts at its smallest value. As anatomy, that
        percentile is shown at `ANATOMY_WHITE`.

    The foreground is what lies above the mean (as in Nyul and Udupa, "On standardizing the
    MR image intensity scale", Magn Reson Med 42, 1999).

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K)
        In its real units.
    mask : Tensor of bool, shape (I, J, K), optional
        Voxels to look at, such as the field of view of a resampled volume.
    role : {"anatomical", "functional"}
        What the volume is to bring to the fusion.

    Returns
    -------
    low, high : float
        In the volume's units, ``low < high``.
    """
    modality = modality_of(volume)
    if modality == "CT" and get_meta(volume, Keys.UNITS) == "HU":
        return BONE_HU if role == "functional" else SOFT_TISSUE_HU
    values = _sample(volume, mask)
    high = _white(values)
    if modality in UPTAKE_MODALITIES:
        return (0.0, high) if high > 0 else (0.0, 1.0)
    low = _air(values, high)
    span = (high - low) / (ANATOMY_WHITE if role == "anatomical" else 1.0)
    return (low, low + span) if span > 0 else (low, low + 1.0)


def apply_window(data: torch.Tensor, window: tuple[float, float]) -> torch.Tensor:
    """Map LOW to 0 and HIGH to 1, and clamp what lies outside.

    Parameters
    ----------
    data : Tensor, any shape
        In the units of the window.
    window : (float, float)
        LOW and HIGH, ``LOW < HIGH``.

    Returns
    -------
    Tensor, shape of `data`, float32 in [0, 1]

    Examples
    --------
    >>> apply_window(torch.tensor([-1000.0, 40.0, 3000.0]), (-160, 240))
    tensor([0.0000, 0.5000, 1.0000])
    """
    low, high = window
    plain = data.as_subclass(torch.Tensor).to(torch.float32)
    # A subtraction makes the copy; the rest is done in place.
    return (plain - low).div_(high - low).clamp_(0, 1)


def _sample(volume: MetaTensor, mask: torch.Tensor | None) -> Values:
    """Draw at most `_MAX_SAMPLES` values, always the same ones, to take percentiles of."""
    values = volume.as_tensor()[0].detach().cpu()
    if mask is not None and bool(mask.any()):
        # With NumPy, which makes no list of the places: 24 bytes for each.
        inside = mask.as_subclass(torch.Tensor).cpu().numpy()
        values = torch.from_numpy(values.numpy()[inside])
    values = values.flatten()
    if len(values) > _MAX_SAMPLES:
        draw = torch.Generator().manual_seed(0)
        values = values[torch.randint(len(values), (_MAX_SAMPLES,), generator=draw)]
    return np.asarray(values, dtype=np.float32)


def _white(values: Values) -> float:
    foreground = values[values > values.mean()]
    return float(np.percentile(foreground if foreground.size else values, _WHITE_PERCENTILE))


def _air(values: Values, high: float) -> float:
    bottom = float(np.percentile(values, _BOTTOM_PERCENTILE))
    return float(np.median(values[values <= bottom + _AIR_FRACTION * (high - bottom)]))
