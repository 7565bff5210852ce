from __future__ import annotations

import numpy as np
import pytest
import torch

from refinefuse_med.errors import GeometryError
from refinefuse_med.grid import LPS_FROM_RAS, Grid
from refinefuse_med.registration import field_of_view, resample_to
from refinefuse_med.volume import Keys, get_meta, make_volume

from .conftest import pose

TRUTH = pose((11, -17, 23), (4.0, -7.0, 9.0))
FIXED = Grid((13, 17, 11), np.diag([-2.0, -1.5, 3.0, 1.0]) + 0.0)


def ramp(affine_ras: np.ndarray, shape: tuple[int, int, int]) -> torch.Tensor:
    """Each voxel's own LPS x, y, z as three channels."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    lps = LPS_FROM_RAS @ affine_ras
    return torch.from_numpy((lps[:3, :3] @ index + lps[:3, 3:]).reshape(3, *shape))


def mapped_points(grid: Grid, matrix: np.ndarray) -> np.ndarray:
    points = ramp(grid.affine_ras, grid.shape).numpy().reshape(3, -1)
    return (matrix[:3, :3] @ points + matrix[:3, 3:]).reshape(3, *grid.shape)


@pytest.fixture
def moving_affine(oblique: np.ndarray) -> np.ndarray:
    """An oblique, flipped, anisotropic grid whose middle lies in that of the mapped fixed grid."""
    target = LPS_FROM_RAS @ TRUTH @ FIXED.affine_lps @ [6, 8, 5, 1]
    affine = oblique.copy()
    affine[:3, 3] = target[:3] - affine[:3, :3] @ [14, 11, 3]
    return affine


def test_values_that_are_positions_arrive_where_the_matrix_says(moving_affine: np.ndarray):
    moving = make_volume(ramp(moving_affine, (29, 23, 7)), moving_affine)
    result, inside = resample_to(moving, FIXED, TRUTH)
    assert result.shape == (3, *FIXED.shape)
    assert np.allclose(result.affine, FIXED.affine_ras)
    # Within the outermost voxel centres linear interpolation of a ramp is exact.
    inner = Grid((27, 21, 5), moving_affine @ pose((0, 0, 0), (1, 1, 1)))
    exact = field_of_view(FIXED, inner, TRUTH).numpy()
    assert exact.sum() > 100
    wanted = mapped_points(FIXED, TRUTH)
    assert np.abs(result.numpy() - wanted)[:, exact].max() < 1e-3
    assert inside.numpy()[exact].all()


def test_the_field_of_view_ends_half_a_voxel_beyond_the_outer_centres(moving_affine: np.ndarray):
    shape = (29, 23, 7)
    moving = make_volume(torch.ones(shape) * 5, moving_affine)
    result, inside = resample_to(moving, FIXED, TRUTH)
    points = mapped_points(FIXED, TRUTH).reshape(3, -1)
    to_index = np.linalg.inv(LPS_FROM_RAS @ moving_affine)
    index = to_index[:3, :3] @ points + to_index[:3, 3:]
    limits = np.array(shape)[:, None] - 0.5
    wanted = ((index > -0.5) & (index < limits)).all(axis=0).reshape(FIXED.shape)
    assert 0 < wanted.sum() < wanted.size
    assert np.array_equal(inside.numpy(), wanted)
    # Nothing is smeared beyond it, and nothing is lost within.
    assert np.array_equal(result.numpy()[0] == 5, wanted)
    assert np.array_equal(result.numpy()[0] == 0, ~wanted)


def test_outside_is_air_for_scans_with_negative_values(moving_affine: np.ndarray):
    data = torch.full((29, 23, 7), 40.0)
    data[0, 0, 0] = -1024
    result, inside = resample_to(make_volume(data, moving_affine, modality="CT"), FIXED, TRUTH)
    assert (result.as_tensor()[0][~inside] == -1024).all()
    assert result.meta["modality"] == "CT"


def test_nearest_makes_no_new_values(moving_affine: np.ndarray):
    labels = torch.randint(0, 4, (29, 23, 7), generator=torch.Generator().manual_seed(0)) * 10
    result, _ = resample_to(
        make_volume(labels, moving_affine), FIXED, TRUTH, interpolation="nearest"
    )
    assert set(result.unique().tolist()) <= {0.0, 10.0, 20.0, 30.0}
    linear, _ = resample_to(make_volume(labels, moving_affine), FIXED, TRUTH)
    assert len(linear.unique()) > 4


def test_the_same_grid_and_the_identity_change_nothing(oblique: np.ndarray):
    data = torch.rand((1, 9, 8, 7), generator=torch.Generator().manual_seed(0))
    result, inside = resample_to(make_volume(data, oblique), Grid((9, 8, 7), oblique), np.eye(4))
    assert inside.all()
    assert torch.allclose(result.as_tensor(), data, atol=1e-5)


@pytest.mark.parametrize("frame", ["1.2.3", None])
def test_the_result_lies_in_the_frame_that_is_named_and_never_in_movings(moving_affine, frame):
    moving = make_volume(torch.ones(29, 23, 7), moving_affine, frame_of_reference_uid="1.9")
    result, _ = resample_to(moving, FIXED, TRUTH, frame_of_reference_uid=frame)
    assert get_meta(result, Keys.FRAME_OF_REFERENCE_UID) == frame
    assert get_meta(moving, Keys.FRAME_OF_REFERENCE_UID) == "1.9"


def test_a_sheared_grid_is_refused(oblique: np.ndarray):
    sheared = oblique.copy()
    sheared[0, 2] += 1
    volume = make_volume(torch.rand(5, 5, 5), oblique)
    with pytest.raises(GeometryError, match="right angles"):
        resample_to(volume, Grid((5, 5, 5), sheared), np.eye(4))
