"""A transform that was found elsewhere is taken as it is, and judged."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.errors import CancelledError, GeometryError, InputError
from refinefuse_med.progress import Monitor
from refinefuse_med.registration import register, take_transform
from refinefuse_med.volume import like


def test_the_identity_is_judged_as_the_header_is(head_pair):
    by_header = register(*head_pair, RegistrationConfig(method="none"))
    given = take_transform(*head_pair, np.eye(4), method="by hand")
    assert given.quality == by_header.quality
    assert given.verdict == by_header.verdict == "ok"
    assert given.method == "by hand"
    np.testing.assert_array_equal(given.matrix_fixed_to_moving_lps, np.eye(4))


def test_a_worse_place_has_less_information(head_pair):
    moved = np.eye(4)
    moved[:3, 3] = (9, -6, 4)
    right, wrong = (take_transform(*head_pair, matrix) for matrix in (np.eye(4), moved))
    assert wrong.quality["mutual_information"] < 0.9 * right.quality["mutual_information"]
    assert wrong.quality["translation_mm"] == pytest.approx(np.linalg.norm((9, -6, 4)))


def test_scans_that_do_not_meet_are_judged_failed(head_pair):
    away = np.eye(4)
    away[0, 3] = 900
    assert take_transform(*head_pair, away).verdict == "failed"


@pytest.mark.parametrize("matrix", [np.eye(3), np.diag([1.0, 0, 1, 1]), np.full((4, 4), np.nan)])
def test_a_matrix_that_is_no_transform_is_refused(head_pair, matrix):
    with pytest.raises(GeometryError):
        take_transform(*head_pair, matrix)


def test_a_constant_scan_is_refused(head_pair):
    fixed, moving = head_pair
    with pytest.raises(InputError, match="same value"):
        take_transform(fixed, like(moving, 0 * moving.as_tensor() + 3), np.eye(4))


def test_it_stops_on_request(head_pair):
    with pytest.raises(CancelledError):
        take_transform(*head_pair, np.eye(4), monitor=Monitor(is_cancelled=lambda: True))
