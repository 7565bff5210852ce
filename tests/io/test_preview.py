"""The preview shows the right side of the patient on the left, whatever the grid."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from refinefuse_med.errors import InputError, OutputError
from refinefuse_med.io.preview import render_preview
from refinefuse_med.io.scene import PLANES, centre_of, make_scene
from refinefuse_med.volume import make_volume

SHAPE = (21, 25, 23)
PALETTE = np.linspace(0, 1, 256)[:, None].repeat(3, axis=1)


def _centred(affine):
    affine = affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def _turned(axes, flips):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * (np.array((2.0, 2.5, 3.0)) * flips)
    return affine


GRIDS = {
    "RAS": _turned((0, 1, 2), (1, 1, 1)),
    "LPS": _turned((0, 1, 2), (-1, -1, 1)),
    "left-handed": _turned((0, 1, 2), (-1, -1, -1)),
    "sagittal": _turned((1, 2, 0), (-1, -1, 1)),
    "coronal": _turned((0, 2, 1), (1, -1, -1)),
}


@pytest.fixture(params=[*GRIDS, "oblique"])
def affine(request):
    if request.param == "oblique":
        tilt = np.radians(17)
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
        return _centred(turn @ GRIDS["sagittal"])
    return _centred(GRIDS[request.param])


def _blob(affine, centre_ras, radius_mm=6.0):
    """A ball at a place of the patient, not of the grid."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    places = np.einsum("ab,b...->a...", affine[:3, :3], index) + affine[:3, 3, None, None, None]
    apart = np.linalg.norm(places - np.reshape(centre_ras, (3, 1, 1, 1)), axis=0)
    return (apart <= radius_mm).astype(np.float32)


def test_marker_stays_in_its_octant(affine):
    right_front_top = _blob(affine, (12.0, 13.0, 14.0))[None]
    body = np.full((1, *SHAPE), 0.5, np.float32)
    scene = make_scene([body, right_front_top, body], affine, None)
    for plane in PLANES:
        rows, columns = np.nonzero(scene.picture(1, plane)[..., 0])
        height, width = scene.picture(1, plane).shape[:2]
        # Right is left of the picture, front is its top or (sagittal) left, head its top.
        assert rows.mean() < height / 2, plane.name
        assert columns.mean() < width / 2, plane.name


@pytest.mark.parametrize("name", GRIDS)
def test_planes_have_true_proportions(name):
    affine = _centred(GRIDS[name])
    r, a, s = np.abs(affine[:3, :3]) @ SHAPE
    body = np.full((1, *SHAPE), 0.5, np.float32)
    scene = make_scene([body, body, body], affine, None)
    sizes = [scene.size_mm(plane) for plane in PLANES]
    np.testing.assert_allclose(sizes, [(r, a), (r, s), (a, s)], atol=1e-6)


def test_chosen_point_is_shown(affine):
    marker = np.zeros((1, *SHAPE), np.float32)
    voxel = (4, 19, 7)
    marker[(0, *voxel)] = 1
    scene = make_scene([marker * 0 + 0.5, marker, marker], affine, voxel)
    for plane in PLANES:
        assert scene.picture(1, plane).max() == 255


def test_the_centre_of_the_signal_is_the_point_that_is_shown_by_default(affine):
    body = np.full((1, *SHAPE), 0.5, np.float32)
    blob = _blob(affine, (12.0, 13.0, 14.0))[None]
    centre = centre_of(blob, affine)
    place = affine[:3, :3] @ centre + affine[:3, 3]
    np.testing.assert_allclose(place, (12.0, 13.0, 14.0), atol=3.0)
    by_default, chosen = (make_scene([body, blob], affine, p) for p in (None, centre))
    assert by_default.point == chosen.point


def test_no_functional_signal_shows_the_middle(affine):
    empty = np.zeros((1, *SHAPE), np.float32)
    scene = make_scene([empty + 0.5, empty, empty], affine, None)
    assert sorted(scene.point) == sorted(n // 2 for n in SHAPE)


def _render(path, affine, **options):
    red, blue = _blob(affine, (12.0, 0.0, 0.0)), _blob(affine, (-12.0, 0.0, 0.0))
    rgb = (np.stack([red, red * 0, blue]) * 255).astype(np.uint8)
    anatomical = make_volume(np.full(SHAPE, 40.0), affine, modality="MR")
    return render_preview(
        path,
        anatomical,
        rgb,
        make_volume(rgb, affine),
        window_anatomical=(0.0, 80.0),
        window_functional=(0.0, 7.5),
        colours=PALETTE,
        units="SUVbw",
        verdict="ok",
        method="rigid",
        **options,
    )


def test_written_picture_is_not_mirrored(tmp_path, affine):
    picture = np.asarray(Image.open(_render(tmp_path / "p.png", affine)).convert("RGB"), float)
    red = (picture[..., 0] > 200) & (picture[..., 2] < 60)
    blue = (picture[..., 2] > 200) & (picture[..., 0] < 60)
    top = picture.shape[0] // 3  # the axial row, function and fusion
    assert np.nonzero(red[:top])[1].mean() < np.nonzero(blue[:top])[1].mean()


def test_same_input_gives_the_same_bytes(tmp_path):
    affine = _centred(GRIDS["LPS"])
    first = _render(tmp_path / "a.png", affine).read_bytes()
    assert _render(tmp_path / "b.png", affine).read_bytes() == first


def test_other_grid_is_refused(tmp_path):
    affine = _centred(GRIDS["LPS"])
    with pytest.raises(InputError, match="one grid"):
        make_scene(
            [np.ones((1, *SHAPE)), np.ones((1, 3, 3, 3)), np.ones((1, *SHAPE))], affine, None
        )


def test_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"p\.png"):
        _render(tmp_path / "absent" / "p.png", _centred(GRIDS["LPS"]))


def test_the_contribution_is_a_fourth_column(tmp_path):
    affine = _centred(GRIDS["LPS"])
    green = np.zeros((3, *SHAPE), np.uint8)
    green[1] = 255 * (_blob(affine, (0.0, 0.0, 0.0)) > 0.5)
    path = _render(tmp_path / "p.png", affine, contribution_rgb=green)
    picture = np.asarray(Image.open(path).convert("RGB"), float)
    is_green = (picture[..., 1] > 200) & (picture[..., 0] < 60) & (picture[..., 2] < 60)
    columns = np.nonzero(is_green[: picture.shape[0] // 3])[1]
    assert columns.min() / picture.shape[1] > 0.6
    assert columns.max() / picture.shape[1] < 0.95
