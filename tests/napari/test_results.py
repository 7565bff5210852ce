"""Results among the layers: one of a kind, renewed in place, set up as the user has it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.components import LayerList, ViewerModel
from napari.layers import Image, Labels

from refinefuse_napari._results import (
    FOLLOWING,
    OF_FUSION,
    RESULT,
    candidates,
    drop_views,
    look_at,
    show_result,
    suggest_pair,
)
from refinefuse_napari._snapshot import METADATA


def result(value, kind="fused", rgb=False, **attributes):
    data = np.full((2, 3, 4, 3) if rgb else (2, 3, 4), value, dtype=np.uint8)
    metadata = {RESULT: (kind, "a", "b"), "record": value}
    return data, {"name": kind, "rgb": rgb, "metadata": metadata, **attributes}, "image"


def scan(modality, name):
    return Image(np.zeros((2, 3, 4)), name=name, metadata={METADATA: {"modality": modality}})


def test_a_second_run_renews_the_layer_in_place():
    layers = LayerList([scan("MR", "mr")])
    first = show_result(layers, result(1))
    second = show_result(layers, result(2, scale=(3, 2, 1)))
    assert second is first
    assert len(layers) == 2
    assert first.data.max() == 2
    assert first.scale.tolist() == [3, 2, 1]
    assert first.metadata["record"] == 2


def test_a_renewal_moves_a_layer_only_where_it_stands_elsewhere():
    layers = LayerList()
    place = {"scale": (3, 2, 1), "translate": (0, 5, 0), "affine": np.diag([1, -1, 1, 1.0])}
    layer = show_result(layers, result(1, **place))
    told = []
    for name in ("data", "scale", "translate", "affine"):
        getattr(layer.events, name).connect(lambda event: told.append(event.type))
    show_result(layers, result(2, **place))
    assert told == ["data"]
    show_result(layers, result(2, **{**place, "affine": np.eye(4)}))
    assert told == ["data", "data", "affine"]


def test_where_a_view_was_seen_that_goes_its_fusion_is():
    layers = LayerList()
    fused = show_result(layers, result(1))
    board = show_result(layers, result(1, kind="checkerboard"))
    share = show_result(layers, result(1, kind="contribution"))
    fused.visible = share.visible = False
    drop_views(layers, OF_FUSION)
    assert list(layers) == [fused, board]
    assert not fused.visible
    drop_views(layers)
    assert list(layers) == [fused]
    assert fused.visible


def test_where_there_is_no_fusion_the_scan_on_the_anatomical_grid_is_seen_again():
    layers = LayerList()
    registered = show_result(layers, result(1, kind="registered"))
    show_result(layers, result(1, kind="preview"))
    registered.visible = False
    drop_views(layers, {"preview"})
    assert list(layers) == [registered]
    assert registered.visible


def test_a_view_that_follows_the_alignment_stays_where_it_is_seen():
    layers = LayerList()
    edges, board, swipe = (
        show_result(layers, result(1, kind=kind)) for kind in ("edges", "checkerboard", "swipe")
    )
    board.visible = False
    assert swipe.visible
    drop_views(layers, but_seen=FOLLOWING)
    assert list(layers) == [edges]


def test_results_of_another_kind_or_pair_get_a_layer_of_their_own():
    layers = LayerList()
    show_result(layers, result(1))
    show_result(layers, result(1, kind="registered"))
    assert len(layers) == 2


def test_the_display_set_up_by_the_user_outlives_a_renewal():
    layers = LayerList()
    layer = show_result(layers, result(1, colormap="red", opacity=1.0))
    layer.colormap, layer.opacity, layer.visible, layer.name = "blue", 0.3, False, "mine"
    show_result(layers, result(2, colormap="red", opacity=1.0))
    assert (layer.colormap.name, layer.opacity, layer.visible) == ("blue", 0.3, False)
    assert layer.name == "mine"


def test_a_result_that_turns_from_colour_to_grey_keeps_its_place():
    layers = LayerList()
    show_result(layers, result(1, rgb=True))
    layers.append(scan("MR", "above"))
    fresh = show_result(layers, result(2, rgb=False))
    assert not fresh.rgb
    assert [layer.name for layer in layers] == ["fused", "above"]


def test_only_scalar_volumes_that_are_not_results_are_candidates():
    layers = LayerList(
        [
            scan("MR", "mr"),
            Image(np.zeros((4, 4)), name="picture"),
            Image(np.zeros((2, 4, 4, 3), dtype=np.uint8), rgb=True, name="colour"),
            Labels(np.zeros((2, 3, 4), dtype=int)),
        ]
    )
    show_result(layers, result(1))
    assert [layer.name for layer in candidates(layers)] == ["mr"]


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (["PT", "MR"], ("MR", "PT")),
        (["CT", "PT"], ("CT", "PT")),
        (["CT", "MR"], ("MR", "CT")),
        (["CT", "NM", "MR"], ("MR", "NM")),
        (["OT", "OT"], ("OT", "OT")),
    ],
)
def test_the_pair_is_suggested_by_modality(modalities, expected):
    layers = [scan(modality, modality) for modality in modalities]
    anatomical, functional = suggest_pair(layers)
    assert (anatomical.name, functional.name) == expected
    assert anatomical is not functional


def test_without_two_layers_nothing_is_suggested():
    assert suggest_pair([]) == (None, None)
    (only,) = layers = [scan("PT", "pet")]
    assert suggest_pair(layers) == (only, None)


def test_the_viewer_turns_to_a_layer_that_its_slice_misses():
    viewer = ViewerModel()
    viewer.add_layer(scan("CT", "here"))
    far = viewer.add_layer(Image(np.zeros((4, 5, 6)), translate=(700, 80, 90)))
    viewer.dims.set_point(0, 0)
    look_at(viewer, far)
    assert 700 <= viewer.dims.point[0] <= 703
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (82, 92.5), atol=0.6)


def test_the_viewer_stays_where_it_is_if_it_sees_the_layer():
    viewer = ViewerModel()
    layer = viewer.add_layer(scan("CT", "here"))
    viewer.dims.set_point(0, 1)
    viewer.scene.camera.center = (0, 7, 7)
    look_at(viewer, layer)
    assert viewer.dims.point[0] == 1
    assert viewer.scene.camera.center[-2:] == (7, 7)
