"""Slices in radiological display, from any grid."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch

from refinefuse_med.engine.planes import slices_along

# A point of each side of a patient, in RAS mm.
LEFT, RIGHT = (-30, 0, 0), (30, 0, 0)
ANTERIOR, POSTERIOR = (0, 40, 0), (0, -40, 0)
HEAD, FEET = (0, 0, 50), (0, 0, -50)

# Rows run from the first to the second, columns from the third to the fourth.
DISPLAY = {
    "axial": (ANTERIOR, POSTERIOR, RIGHT, LEFT),
    "coronal": (HEAD, FEET, RIGHT, LEFT),
    "sagittal": (HEAD, FEET, ANTERIOR, POSTERIOR),
}


def _place(volume: torch.Tensor, affine_ras: np.ndarray, point, value: float) -> None:
    index = np.linalg.inv(affine_ras) @ (*point, 1)
    i, j, k = np.rint(index[:3]).astype(int)
    volume[i, j, k] = value


@pytest.mark.parametrize("plane", DISPLAY)
def test_an_oblique_flipped_grid_is_shown_as_a_radiologist_sees_it(oblique, plane):
    shape = np.array([200, 150, 60])
    oblique[:3, 3] = -oblique[:3, :3] @ (shape / 2)
    volume = torch.zeros(*shape)
    for value, point in enumerate(DISPLAY[plane], start=1):
        _place(volume, oblique, point, value)
    slices = slices_along(oblique, plane).pictures(volume)
    at = {v: (slices == v).nonzero()[0].tolist() for v in (1, 2, 3, 4)}
    assert at[1][1] < at[2][1]
    assert at[3][2] < at[4][2]


def test_axial_rows_and_columns_are_those_of_the_patient():
    # An LPS grid is in display already, but for the order of its slices and axes.
    volume = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    slices = slices_along(lps, "axial").pictures(volume)
    assert slices.shape == (4, 3, 2)
    assert torch.equal(slices[0], volume[:, :, 3].T)


@pytest.mark.parametrize("plane", DISPLAY)
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_every_axis_order_and_sign_shows_the_same_pictures(plane, order, signs):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    volume = torch.arange(3.0 * 4 * 5).reshape(3, 4, 5)
    expected = slices_along(lps, plane).pictures(volume)
    # The same voxels, stored otherwise.
    stored = volume.permute(order).flip([axis for axis, sign in enumerate(signs) if sign < 0])
    affine = lps.copy()
    affine[:3, :3] = lps[:3, :3][:, order] * signs
    assert torch.equal(slices_along(affine, plane).pictures(stored), expected)


def test_slices_are_a_view_and_what_is_flipped_goes_back(oblique):
    volume = torch.zeros(2, 3, 4, 5)
    view = slices_along(oblique, "sagittal")
    slices = view.of(volume)
    drawn = torch.rand(slices.shape[-2:])
    slices[1, 2] = view.upright(view.upright(drawn))
    assert torch.equal(slices[1, 2], drawn)
    assert int(volume.count_nonzero()) == drawn.numel()
    assert not volume[0].any()
