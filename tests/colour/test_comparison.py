"""Checkerboard, edges and difference of two scans on one grid."""

from __future__ import annotations

import pytest
import torch

from refinefuse_med import colour
from refinefuse_med.colour import comparison
from refinefuse_med.colour.comparison import EDGE_COLOUR, TILE_MM
from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import SILENT, Monitor

SPACING = (2.0, 3.0, 6.0)


@pytest.fixture
def cube() -> torch.Tensor:
    grey = torch.zeros(36, 24, 12)
    grey[9:27, 6:18, 3:9] = 1
    return grey


def test_the_tiles_of_a_checkerboard_are_of_one_size_in_millimetres():
    white = torch.ones(36, 24, 12, dtype=torch.uint8)
    board = colour.checkerboard(white, torch.zeros_like(white).expand(3, -1, -1, -1), SPACING)[0]
    for axis, mm in enumerate(SPACING):
        line = board.movedim(axis, 0)[:, 0, 0]
        assert line[: int(TILE_MM / mm)].eq(1).all()
        assert line[int(TILE_MM / mm) : int(2 * TILE_MM / mm)].eq(0).all()


def test_edges_run_along_the_body_and_leave_the_rest_as_it_is(cube):
    rgb = torch.full((3, *cube.shape), 128, dtype=torch.uint8)
    shown = colour.draw_edges(colour.find_edges(cube, SPACING), rgb)
    marked = (shown == torch.tensor(EDGE_COLOUR).view(3, 1, 1, 1)).all(dim=0)
    places = marked.nonzero()
    assert len(places) > 100
    assert (places.amin(dim=0) >= torch.tensor([8, 5, 2])).all()
    assert (places.amax(dim=0) <= torch.tensor([27, 18, 9])).all()
    assert (shown[:, ~marked] == 128).all()
    assert not marked[12:24, 9:15, 5:7].any()


def test_edges_through_a_voxel_are_those_of_the_whole_volume_in_its_three_planes():
    grey = torch.zeros(64, 48, 30)
    grey[14:50, 15:33, 12:18] = 1
    point = (20, 16, 13)
    whole = colour.find_edges(grey, SPACING)
    found = colour.find_edges_through(grey, SPACING, point)
    shown = torch.zeros_like(whole)
    for axis, place in enumerate(point):
        shown.select(axis, place).fill_(True)
    assert torch.equal(found, whole & shown)
    assert found.sum() > 100


@pytest.mark.parametrize("point", [(0, 0, 0), (35, 23, 11)])
def test_planes_at_the_rim_have_their_edges_too(cube, point):
    filled = 1 - cube * 0.5
    found = colour.find_edges_through(filled, SPACING, point)
    assert found.shape == filled.shape
    assert torch.equal(
        found.select(0, point[0]), colour.find_edges(filled, SPACING).select(0, point[0])
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.9, 2.5)])
def test_edges_found_slab_by_slab_are_those_of_the_whole(monkeypatch, spacing):
    # Ellipsoids in noise, and a wall that fades along the slabs: strong in the first alone.
    i, j, k = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (70, 40, 24)), indexing="ij")
    noise = torch.rand(i.shape, generator=torch.Generator().manual_seed(0))
    grey = 0.5 * (i**2 + 2 * j**2 + k**2 < 0.6) + 0.25 * (k > 0.7) * (1 - i) + 0.1 * noise
    whole = colour.find_edges(grey, spacing)
    sizes = []
    find = comparison._canny

    def spy(slab, *rest):
        sizes.append(slab.numel())
        return find(slab, *rest)

    monkeypatch.setattr(comparison, "_canny", spy)
    monkeypatch.setattr(comparison, "_VOXELS_AT_ONCE", 30 * 40 * 24)
    assert torch.equal(colour.find_edges(grey, spacing), whole)
    assert len(sizes) > 2
    assert max(sizes) <= 30 * 40 * 24
    assert not torch.equal(torch.from_numpy(find(grey, spacing, 0.1, 0.1, SILENT)), whole)


def test_edges_stop_on_request(cube):
    with pytest.raises(CancelledError):
        colour.find_edges(cube, SPACING, Monitor(is_cancelled=lambda: True))


def test_scans_that_are_alike_have_a_grey_difference(cube):
    assert colour.difference(cube, cube).eq(0.5).all()
    assert colour.difference(cube, 1 - cube).unique().tolist() == [0.0, 1.0]
