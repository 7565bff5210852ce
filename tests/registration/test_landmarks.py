from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.registration import fit_landmarks

from .conftest import pose

POINTS = np.array([[0, 5, 9], [60, -20, 0], [-30, 70, 10], [10, 15, -55], [-48, -31, 22.0]])


@pytest.mark.parametrize(
    "truth", [pose((-20, 25, 35), (30, -40, 776)), pose((5, 178, -10), (0, 0, 0))]
)
def test_exact_landmarks_give_back_the_pose(truth):
    fit = fit_landmarks(POINTS, POINTS @ truth[:3, :3].T + truth[:3, 3])
    np.testing.assert_allclose(fit.matrix_fixed_to_moving_lps, truth, atol=1e-9)
    assert fit.fre_mm < 1e-9


def test_the_residuals_are_the_distances_that_are_left():
    truth = pose((7, -3, 12), (5, 6, 7))
    moving = POINTS @ truth[:3, :3].T + truth[:3, 3]
    moving[2] += (0, 6, 0)
    fit = fit_landmarks(POINTS, moving)
    brought = POINTS @ fit.matrix_fixed_to_moving_lps[:3, :3].T
    brought += fit.matrix_fixed_to_moving_lps[:3, 3]
    np.testing.assert_allclose(fit.residuals_mm, np.linalg.norm(brought - moving, axis=1))
    assert fit.residuals_mm.argmax() == 2
    assert fit.fre_mm == pytest.approx(np.sqrt((fit.residuals_mm**2).mean()))
    # It is a minimum: any small change makes the sum of squares larger.
    for change in np.eye(6):
        other = pose(tuple(change[:3]), tuple(change[3:])) @ fit.matrix_fixed_to_moving_lps
        apart = POINTS @ other[:3, :3].T + other[:3, 3] - moving
        assert (apart**2).sum() > (fit.residuals_mm**2).sum()


def test_a_mirrored_set_is_not_matched_by_a_mirror():
    fit = fit_landmarks(POINTS, POINTS * (-1, 1, 1))
    assert np.linalg.det(fit.matrix_fixed_to_moving_lps[:3, :3]) == pytest.approx(1)
    assert fit.fre_mm > 5


@pytest.mark.parametrize(
    ("fixed", "moving", "says"),
    [
        (POINTS[:2], POINTS[:2], "too few"),
        (POINTS, POINTS[:4], "do not pair up"),
        (np.outer(np.arange(4), (1, 2, 3)), POINTS[:4], "in a line"),
        (POINTS, np.where(POINTS == 60, np.nan, POINTS), "finite"),
    ],
)
def test_what_fixes_no_pose_is_refused(fixed, moving, says):
    with pytest.raises(InputError, match=says):
        fit_landmarks(fixed, moving)
