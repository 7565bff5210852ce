"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' real scans, which are not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' real scans (../shared/data) are not here")
    return folder


def oblique_affine(
    spacing: tuple[float, float, float] = (0.9, 1.3, 4.1),
    angles: tuple[float, float, float] = (17.0, -23.0, 41.0),
    origin: tuple[float, float, float] = (-83.0, 57.0, -31.0),
    flips: tuple[int, int, int] = (1, -1, 1),
) -> np.ndarray:
    """An RAS affine that is oblique, anisotropic and flipped at once."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation * (np.asarray(spacing) * np.asarray(flips))
    affine[:3, 3] = origin
    return affine


@pytest.fixture
def oblique() -> np.ndarray:
    """An oblique, anisotropic, left-handed RAS affine."""
    return oblique_affine()
