"""Filters of SimpleITK that stop where the user asks them to."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import Monitor, run_filter


def test_a_filter_of_simpleitk_stops_on_request():
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((40, 40, 40), np.float32))
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(CancelledError):
        run_filter(sitk.MedianImageFilter(), image, Monitor(is_cancelled=cancelled))
    assert len(asked) == 2


def test_a_filter_that_is_not_stopped_gives_what_it_gives():
    image = sitk.GetImageFromArray(np.arange(27, dtype=np.float32).reshape(3, 3, 3))
    shown = sitk.GetArrayFromImage(run_filter(sitk.AbsImageFilter(), image))
    np.testing.assert_array_equal(shown, sitk.GetArrayFromImage(image))
