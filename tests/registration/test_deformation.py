"""Free-form deformations: what they do to points is what ITK does, on any grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from refinefuse_med.grid import Grid
from refinefuse_med.registration.deformation import Deformation, bending, lattice_over
from refinefuse_med.registration.resample import composite, field_of_view, resample_to
from refinefuse_med.volume import make_volume

from .conftest import pose

SHAPE = (30, 26, 12)


def random_deformation(grid: Grid, spacing_mm: float, amplitude_mm: float) -> Deformation:
    still = lattice_over(grid, spacing_mm)
    values = np.random.default_rng(5).normal(size=still.coefficients.shape) * amplitude_mm
    return Deformation(values, still.lattice_lps)


@pytest.fixture
def grid(oblique) -> Grid:
    return Grid(SHAPE, oblique)


@pytest.fixture
def warp(grid) -> Deformation:
    return random_deformation(grid, 14, 4.0)


@pytest.fixture
def points(grid) -> np.ndarray:
    """Centres of all voxels, LPS mm, shape (3, N)."""
    index = np.indices(SHAPE).reshape(3, -1)
    return grid.affine_lps[:3, :3] @ index + grid.affine_lps[:3, 3:]


def test_it_moves_points_as_its_itk_transform_does(warp, points):
    transform = warp.itk()
    some = points[:, ::97]
    itk = np.array([transform.TransformPoint(p) for p in some.T.tolist()]).T - some
    assert np.abs(itk).max() > 3
    np.testing.assert_allclose(warp.displacement(some), itk, atol=1e-9)


def test_on_slices_of_the_grid_it_is_the_same(warp, grid, points):
    whole = warp.displacement(points).reshape(3, *SHAPE)
    np.testing.assert_allclose(warp.on_slices(grid, slice(3, 9)), whole[..., 3:9], atol=1e-9)


def test_refining_the_lattice_changes_nothing(warp, points):
    finer = warp.refined()
    np.testing.assert_allclose(finer.spacing_mm, np.array(warp.spacing_mm) / 2)
    np.testing.assert_allclose(finer.displacement(points), warp.displacement(points), atol=1e-9)


def test_the_lattice_is_as_fine_as_asked_for_and_covers_the_grid(grid, points):
    lattice = lattice_over(grid, 20, halvings=1).refined()
    assert max(lattice.spacing_mm) <= 20
    ones = Deformation(np.ones_like(lattice.coefficients), lattice.lattice_lps)
    np.testing.assert_allclose(ones.displacement(points), 1)
    far = points[:, :1] + np.array([[0], [0], [900.0]])
    np.testing.assert_array_equal(ones.displacement(far), 0)


def test_the_change_of_volume_is_that_of_the_displacement(warp, points):
    low, high = warp.jacobian_range()
    step = 1e-3
    middle = points[:, :: points.shape[1] // 400]
    columns = [
        (warp.displacement(middle + axis) - warp.displacement(middle - axis)) / (2 * step)
        for axis in np.eye(3)[:, :, None] * step
    ]
    ratio = np.linalg.det(np.moveaxis(np.stack(columns, axis=1), -1, 0) + np.eye(3))
    assert low - 0.02 < ratio.min() < ratio.max() < high + 0.02
    assert low < 0.8 < 1.2 < high


def test_a_fold_is_seen(grid):
    assert random_deformation(grid, 14, 4.0).jacobian_range()[0] > 0
    assert random_deformation(grid, 14, 40.0).jacobian_range()[0] < 0


def test_the_way_back_leads_back(grid, points):
    warp = random_deformation(grid, 20, 5.0)
    inner = points.reshape(3, *SHAPE)[:, 8:-8, 8:-8, 3:-3].reshape(3, -1)
    there = inner + warp.displacement(inner)
    back = warp.inverse_itk()
    again = np.array([back.TransformPoint(p) for p in there.T.tolist()]).T
    assert np.linalg.norm(there - inner, axis=0).max() > 3
    assert np.linalg.norm(again - inner, axis=0).max() < 0.5


def test_bending_is_nought_for_affine_maps_and_its_gradient_right(warp, grid):
    lattice = lattice_over(grid, 14)
    shape = lattice.coefficients.shape
    linear = np.einsum("xa,aijk->xijk", np.arange(9.0).reshape(3, 3), np.indices(shape[1:]))
    assert bending(linear, lattice.spacing_mm)[0] == pytest.approx(0, abs=1e-20)
    energy, gradient = bending(warp.coefficients, warp.spacing_mm)
    assert energy > 0
    step = np.random.default_rng(0).normal(size=shape) * 1e-5
    up = bending(warp.coefficients + step, warp.spacing_mm)[0]
    down = bending(warp.coefficients - step, warp.spacing_mm)[0]
    assert up - down == pytest.approx(2 * float((gradient * step).sum()), rel=1e-5)


def test_resampling_through_it_reads_the_place_it_leads_to(grid, warp, points):
    """Moving holds its own LPS coordinates, so each value says where it came from."""
    matrix = pose((8, -12, 95), (30, -20, 300))
    places = points + warp.displacement(points)
    exact = matrix[:3, :3] @ places + matrix[:3, 3:]
    moving_affine = np.diag([-3.0, -2.0, 4.0, 1])
    middle = exact.mean(axis=1) * (-1, -1, 1)
    moving_affine[:3, 3] = middle - moving_affine[:3, :3] @ ((np.array((9, 12, 8)) - 1) / 2)
    moving = Grid((9, 12, 8), moving_affine)
    index = np.indices(moving.shape).reshape(3, -1)
    coordinates = moving.affine_lps[:3, :3] @ index + moving.affine_lps[:3, 3:]
    volume = make_volume(coordinates.reshape(3, *moving.shape), moving_affine)
    brought, seen = resample_to(volume, grid, composite(matrix, warp.itk()))
    # Within half a voxel of the edge, values are those of the edge.
    from_lps = np.linalg.inv(moving.affine_lps)
    at = from_lps[:3, :3] @ exact + from_lps[:3, 3:]
    last = np.array(moving.shape)[:, None] - 1
    inner = ((at > 0.01) & (at < last - 0.01)).all(axis=0)
    found = brought.as_tensor().numpy().reshape(3, -1)
    assert 0.2 < inner.mean() < 1
    np.testing.assert_allclose(found[:, inner], exact[:, inner], atol=0.02)
    outside = ((at < -0.51) | (at > last + 0.51)).any(axis=0)
    assert not seen.numpy().ravel()[outside].any()
    assert seen.numpy().ravel()[inner].all()
    # Without a deformation it is what a matrix gives.
    still = lattice_over(grid, 14)
    plain, same = resample_to(volume, grid, composite(matrix, still.itk()))
    direct, _ = resample_to(volume, grid, matrix)
    np.testing.assert_allclose(plain.as_tensor(), direct.as_tensor(), atol=1e-3)
    assert np.mean(same.numpy() != field_of_view(grid, moving, matrix).numpy()) < 1e-3


def test_a_colour_picture_stays_one(grid, warp):
    rgb = make_volume(np.full((3, *SHAPE), 200, np.uint8), grid.affine_ras)
    brought, seen = resample_to(rgb, grid, sitk.Transform(warp.itk()))
    assert brought.dtype == rgb.dtype
    assert set(np.unique(brought.as_tensor().numpy())) == {0, 200}
    assert not seen.all()
