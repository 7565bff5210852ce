from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.registration.metric import Measure
from refinefuse_med.registration.verdict import judge


@pytest.mark.parametrize(
    ("spread", "information", "overlap", "verdict"),
    [
        (0.2, 0.9, 0.9, "ok"),
        (2.0, 0.9, 0.9, "suspect"),  # does not come back to the same place
        (4.0, 0.9, 0.9, "failed"),
        (0.2, 0.1, 0.9, "suspect"),  # two patients
        (4.0, 0.1, 0.9, "failed"),
        (0.2, 0.9, 0.1, "suspect"),  # sees little of the patient
        (0.2, 0.9, 0.0, "failed"),
        (None, 0.9, 0.9, "ok"),
        (None, 0.1, 0.9, "suspect"),
        (None, 0.9, 0.0, "failed"),
    ],
)
def test_a_doubt_is_never_ok_and_is_always_told(spread, information, overlap, verdict):
    measure = Measure(information, overlap, np.zeros((3, 4)), np.zeros((3, 4)))
    found, warnings = judge(measure, spread)
    assert found == verdict
    assert bool(warnings) == (verdict != "ok")


def test_two_metrics_that_disagree_are_suspect():
    measure = Measure(0.9, 0.9, np.zeros((3, 4)), np.zeros((3, 4)))
    assert judge(measure, 0.2, 1.0) == ("ok", ())
    verdict, (warning,) = judge(measure, 0.2, 27.0)
    assert verdict == "suspect"
    assert "27 mm" in warning


def test_a_pose_that_was_given_is_at_most_suspect_for_not_holding():
    measure = Measure(0.9, 0.9, np.zeros((3, 4)), np.zeros((3, 4)))
    assert judge(measure, 27.0)[0] == "failed"
    assert judge(measure, 27.0, given=True)[0] == "suspect"
    apart = Measure(0.9, 0.0, np.zeros((3, 4)), np.zeros((3, 4)))
    assert judge(apart, None, given=True)[0] == "failed"
