"""A head-like phantom that can be seen by two modalities on any grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.volume import make_volume

# Centre (LPS mm), half axes (mm), value in MR, value in PET; nothing is symmetric.
ELLIPSOIDS = (
    ((0, 0, 0), (70, 88, 64), 400, 1),
    ((0, 0, 0), (63, 80, 57), 250, 4),
    ((0, -70, -15), (14, 22, 16), 500, 2),
    ((22, -18, 12), (20, 30, 18), 420, 9),
    ((-26, 10, 8), (16, 34, 22), 420, 8),
    ((8, 44, -10), (28, 16, 18), 340, 7),
    ((-30, -36, -12), (12, 12, 12), 120, 12),
    ((30, 30, 28), (12, 10, 10), 60, 3),
    ((2, 4, 6), (7, 18, 10), 40, 0.5),
)


def head(
    affine_ras: np.ndarray,
    shape: tuple[int, int, int],
    modality: str,
    to_head_lps: np.ndarray | None = None,
    noise: float = 0.02,
) -> MetaTensor:
    """The phantom on a grid whose LPS points `to_head_lps` brings into the phantom's frame."""
    to_head = (np.eye(4) if to_head_lps is None else to_head_lps) @ LPS_FROM_RAS @ affine_ras
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    points = to_head[:3, :3] @ index + to_head[:3, 3:]
    values = np.zeros(points.shape[1])
    for centre, axes, mr, pet in ELLIPSOIDS:
        distance = np.linalg.norm((points.T - centre) / np.array(axes), axis=1)
        edge = np.clip((1 - distance) * min(axes) / 2 + 0.5, 0, 1)  # about 2 mm soft
        values += edge * ((mr if modality == "MR" else pet) - values)
    values += np.random.default_rng(1).normal(size=values.shape) * noise * values.max()
    return make_volume(values.reshape(shape).clip(min=0), affine_ras, modality=modality)


def centred(affine_ras: np.ndarray, shape: tuple[int, int, int], at_ras: np.ndarray) -> np.ndarray:
    """The affine moved so that the middle of the grid lies at `at_ras`."""
    moved = affine_ras.copy()
    moved[:3, 3] = at_ras - moved[:3, :3] @ ((np.array(shape) - 1) / 2)
    return moved


def pose(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """A rigid (4, 4) matrix: xyz angles in degrees, then a shift in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


Pair = Callable[[np.ndarray], tuple[MetaTensor, MetaTensor]]


@pytest.fixture(scope="session")
def pair() -> Pair:
    """MR on an oblique, flipped, anisotropic grid, and PET moved by a given fixed-to-moving."""

    def make(fixed_to_moving_lps: np.ndarray) -> tuple[MetaTensor, MetaTensor]:
        shape = (80, 84, 26)
        affine = pose((17, -23, 41), (0, 0, 0)) @ np.diag([2.6, -2.9, 7.0, 1])
        fixed = head(centred(affine, shape, np.zeros(3)), shape, "MR")
        moving_shape = (56, 60, 48)
        middle = (LPS_FROM_RAS @ fixed_to_moving_lps)[:3, 3]
        grid = centred(np.diag([-4.0, -4.0, 4.0, 1]), moving_shape, middle)
        return fixed, head(grid, moving_shape, "PT", np.linalg.inv(fixed_to_moving_lps))

    return make


def error_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean target registration error over a box of points in the head, mm."""
    points = np.stack(np.meshgrid(*[np.linspace(-50, 50, 5)] * 3)).reshape(3, -1)
    apart = (found - truth)[:3, :3] @ points + (found - truth)[:3, 3:]
    return float(np.linalg.norm(apart, axis=0).mean())
