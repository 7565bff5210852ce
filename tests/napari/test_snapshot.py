"""What is taken of a layer, to be worked on elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Image

from refinefuse_med.errors import InputError
from refinefuse_napari._snapshot import snapshot


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 5)])
def test_what_is_no_volume_is_refused_in_one_line(shape):
    with pytest.raises(InputError, match="not three") as caught:
        snapshot(Image(np.ones(shape), name="picture"))
    assert "\n" not in str(caught.value)


def test_a_snapshot_stays_as_it_was_when_its_layer_is_moved():
    layer = Image(np.ones((2, 3, 4)), units="mm", scale=(3, 2, 1), affine=np.diag([1, -1, 1, 1]))
    before, again = snapshot(layer), snapshot(layer)
    assert before.same_as(again)
    layer.affine = np.eye(4)
    layer.translate = (0, 5, 0)
    np.testing.assert_array_equal(np.diag(before.world_from_data), (3, -2, 1, 1))
    np.testing.assert_array_equal(before.placement["affine"], np.diag([1, -1, 1, 1]))
    assert not before.same_as(snapshot(layer))


def test_another_array_in_a_layer_is_another_scan():
    layer = Image(np.ones((2, 3, 4)), units="mm")
    before = snapshot(layer)
    layer.data = np.ones((2, 3, 4))
    assert not before.same_as(snapshot(layer))
