"""Checkerboard, edges and the classic overlay of two scans on one grid."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med.colour.comparison import EDGE_COLOUR, TILE_MM
from refinefuse_med.config import ColourConfig, FusionConfig
from refinefuse_med.errors import CancelledError
from refinefuse_med.progress import Monitor
from refinefuse_med.volume import make_volume
from refinefuse_napari._aligning import align
from refinefuse_napari._bridge import image_layer
from refinefuse_napari._compare import COMPARISONS, compare
from refinefuse_napari._outcome import Request
from refinefuse_napari._preview import plane_across
from refinefuse_napari._snapshot import snapshot

COLOUR = ColourConfig(colormap="hot_iron", anatomical_window=(0, 1), functional_window=(0, 1))


@pytest.fixture
def alignment():
    """A white cube (anatomy) and a field that is warm everywhere, of other spacing."""
    cube = np.zeros((24, 24, 12), np.float32)
    cube[6:18, 6:18, 3:9] = 1
    warm = np.full((30, 30, 30), 0.5, np.float32)
    warm[0, 0, 0] = 0.4
    fixed = make_volume(cube, np.diag([3.0, 3, 6, 1]), modality="MR", frame_of_reference_uid="1.2")
    moving = make_volume(warm, np.diag([3.0, 3, 3, 1]), modality="PT", frame_of_reference_uid="1.2")
    shots = [snapshot(Layer.create(*image_layer(v, "x"))) for v in (fixed, moving)]
    return align(Request(*shots, FusionConfig())).alignment


def picture(kind, alignment):
    return Layer.create(*compare(kind, alignment, COLOUR).layer)


def is_grey(rgb):
    return (rgb[..., 0] == rgb[..., 1]) & (rgb[..., 1] == rgb[..., 2])


def test_the_tiles_are_of_one_size_in_millimetres(alignment):
    board = picture("checkerboard", alignment)
    grey = is_grey(board.data)
    for axis, mm in enumerate(board.scale):
        line = np.moveaxis(grey, axis, 0)[:, 0, 0]
        runs = np.diff(np.flatnonzero(np.diff(line.astype(int)) != 0))
        assert set(runs * mm) <= {TILE_MM}


def test_edges_run_along_the_cube_and_nowhere_else(alignment):
    shown = picture("edges", alignment)
    marked = (shown.data == np.array(EDGE_COLOUR)).all(axis=-1)
    assert marked.any()
    places = np.argwhere(marked)
    assert (places.min(axis=0) >= (2, 5, 5)).all()
    assert (places.max(axis=0) <= (9, 18, 18)).all()
    assert not marked[4:8, 9:15, 9:15].any()


def test_the_classic_overlay_is_the_mean_of_both(alignment):
    shown = picture("blend", alignment).data.astype(int)
    colours = picture("edges", alignment).data.astype(int)
    # In the middle of the cube the anatomy is white and there is no edge.
    np.testing.assert_allclose(shown[6, 12, 12], (255 + colours[6, 12, 12]) / 2, atol=1)


@pytest.mark.parametrize("kind", COMPARISONS)
def test_slab_by_slab_they_are_what_they_are_in_one(alignment, kind, monkeypatch):
    found = []
    for slab in (5, 100):
        monkeypatch.setattr("refinefuse_napari._compare._SLAB", slab)
        found.append(picture(kind, alignment).data)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", COMPARISONS)
def test_they_lie_on_the_anatomy_and_stop_on_request(alignment, kind):
    layer = picture(kind, alignment)
    assert layer.rgb
    assert layer.data.shape[:3] == alignment.request.anatomical.data.shape
    with pytest.raises(CancelledError):
        compare(kind, alignment, COLOUR, Monitor(is_cancelled=lambda: True))


def test_the_planes_of_the_layer_axes_are_known(alignment):
    assert [plane_across(alignment, axis) for axis in range(3)] == ["axial", "coronal", "sagittal"]
