"""Other poses and other noise, drawn from a seed."""

from __future__ import annotations

from typing import Final, NamedTuple

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from refinefuse_med.errors import UsageError
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.sample.volumes import SCAN_FILES, sample_volume, shipped_file
from refinefuse_med.volume import grid_of, like

__all__ = ["posed_scan", "quantum_of"]

MAX_ANGLE_DEG: Final = 20.0
MAX_SHIFT_MM: Final = 20.0


class _Noise(NamedTuple):
    """Standard deviation `sigma` at `level` above air; it grows with the square root."""

    air: float
    level: float
    sigma: float


_NOISE: Final = {
    "ct": _Noise(air=-1000, level=1000, sigma=3.0),
    "pet": _Noise(air=0, level=7.6, sigma=0.3),
    "spect": _Noise(air=0, level=220, sigma=6.0),
}


def quantum_of(name: str) -> float:
    """The step between stored values of a shipped scan, in its units."""
    return float(nib.load(shipped_file(SCAN_FILES[name])).dataobj.slope)


def posed_scan(name: str, seed: int) -> tuple[MetaTensor, NDArray[np.float64]]:
    """A sample scan, the head turned and shifted in it as `seed` says.

    Parameters
    ----------
    name : {"mr", "ct", "pet", "spect"}
    seed : int
        0 gives the shipped scan; the MR is the same for all seeds.

    Returns
    -------
    volume : MetaTensor, shape (1, I, J, K)
        On the grid of the shipped scan; air where that one had not seen.
    pose_lps : array, shape (4, 4)
        Rigid; maps points of the shipped scan to points of this one, LPS mm.

    Raises
    ------
    UsageError
        The seed is negative.
    """
    if seed < 0:
        raise UsageError("a seed is 0 or more", where="--seed", hint="choose another seed")
    volume = sample_volume(name)
    if seed == 0 or name not in _NOISE:
        return volume, np.eye(4)
    rng = np.random.default_rng([seed, list(SCAN_FILES).index(name)])
    grid = grid_of(volume)
    pose_ras = _random_pose(rng, grid.center_ras)
    index = np.linalg.inv(grid.affine_ras) @ np.linalg.inv(pose_ras) @ grid.affine_ras
    noise, quantum = _NOISE[name], quantum_of(name)
    values = ndimage.affine_transform(volume[0].numpy(), index, order=1, cval=noise.air)
    grain = ndimage.gaussian_filter(rng.standard_normal(values.shape), 0.6)
    above = np.clip(values - noise.air, 0, None)
    values += noise.sigma * np.sqrt(above / noise.level) * grain / grain.std()
    values = np.round(np.clip(values, noise.air, None) / quantum) * quantum
    return like(volume, values), LPS_FROM_RAS @ pose_ras @ LPS_FROM_RAS


def _random_pose(rng: np.random.Generator, center_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn about `center_ras` around any axis, then shift in any direction."""
    axis, direction = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    angle = np.deg2rad(rng.uniform(0.3, 1) * MAX_ANGLE_DEG)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(angle * axis).as_matrix()
    shift = rng.uniform(0.3, 1) * MAX_SHIFT_MM * direction
    pose[:3, 3] = center_ras - pose[:3, :3] @ center_ras + shift
    return pose
