"""A registration of the phantom pair that is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from refinefuse_med.registration import RegistrationResult


@pytest.fixture
def known_pose(monkeypatch) -> np.ndarray:
    """Every registration gives this oblique pose, fixed to moving, LPS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (9, -14, 31), degrees=True).as_matrix()
    matrix[:3, 3] = (11, -6, 8)
    known = RegistrationResult("rigid", "ok", {"overlap": 1.0}, matrix, 0.0)
    monkeypatch.setattr("refinefuse_med.pipeline.registration.register", lambda *_, **__: known)
    return matrix
