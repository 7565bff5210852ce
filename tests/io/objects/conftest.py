"""Grids that objects are written on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import oblique_affine


def _turned(axes: tuple[int, int, int], flips: tuple[int, int, int]) -> np.ndarray:
    """A grid whose I, J, K run along the given world axes."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * (np.array((0.9, 1.3, 4.1)) * flips)
    affine[:3, 3] = (-83.0, 57.0, -31.0)
    return affine


AFFINES = {
    "oblique": oblique_affine(),
    "axial": _turned((0, 1, 2), (-1, -1, 1)),
    "flipped": _turned((0, 1, 2), (-1, -1, -1)),
    "sagittal": _turned((1, 2, 0), (-1, -1, 1)),
    "coronal": _turned((0, 2, 1), (1, -1, -1)),
    "decubitus": _turned((1, 0, 2), (-1, 1, 1)),
}


@pytest.fixture(params=AFFINES)
def affine(request) -> np.ndarray:
    return AFFINES[request.param]
