"""Slices that belong together, and slices that flicker."""

import numpy as np
import pytest

from refinefuse_med.metrics.steadiness import through_plane_change

A = np.random.default_rng(0).random((6, 20, 20))
STILL = np.zeros_like(A)


def test_a_copy_of_the_source_that_changes_is_as_steady_as_it() -> None:
    assert through_plane_change(A, A, STILL) == 1.0
    assert through_plane_change(A / 2, STILL, A) == 0.5


def test_slices_that_flicker_change_more_than_their_sources() -> None:
    flicker = A + np.where(np.arange(6) % 2, 0.5, -0.5)[:, None, None]
    assert through_plane_change(flicker, A, STILL) > 1.5


def test_nothing_that_changes_is_steady() -> None:
    assert through_plane_change(STILL, STILL, STILL) == pytest.approx(0.0)
