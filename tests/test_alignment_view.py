"""``alignment.png``: which columns it has, and that they are not mirrored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from refinefuse_med import io
from refinefuse_med.alignment_view import write_alignment
from refinefuse_med.registration import RegistrationResult, resample_to
from refinefuse_med.results import ShownPair
from refinefuse_med.volume import grid_of, make_volume, modality_of

SHIFT = np.eye(4)
SHIFT[0, 3] = 20.0


@pytest.fixture
def columns(monkeypatch):
    """The columns of the last picture, by their heads."""
    seen = {}
    render = io.render_alignment

    def spy(path, pictures, *args, **kwargs):
        seen.update(pictures)
        return render(path, pictures, *args, **kwargs)

    monkeypatch.setattr(io, "render_alignment", spy)
    return seen


def write(path, fixed, moving, method="rigid", matrix=SHIFT, *, keep=True):
    registered, seen = resample_to(moving, grid_of(fixed), matrix)
    windows = {"anatomical": (0.0, float(fixed.max())), "functional": (0.0, 12.0)}
    values = fixed.as_tensor()[0], registered.as_tensor()[0]
    shown = ShownPair(*values, seen, "none", windows)
    aligned = RegistrationResult(method, "ok", {}, matrix, 1.0)
    moving = moving if keep else None
    return write_alignment(path, fixed, registered, shown, aligned, moving=moving)


def test_edges_are_shown_before_and_after(tmp_path, head_pair, columns):
    fixed, moving = head_pair
    write(tmp_path / "a.png", fixed, moving)
    assert list(columns) == ["MR", "PT", "Checkerboard", "MR edges, before", "MR edges, after"]
    before, after = columns["MR edges, before"], columns["MR edges, after"]
    as_was, _ = resample_to(moving, grid_of(fixed), np.eye(4))
    shown = (as_was.as_tensor()[0] / 12).clamp(0, 1) * 255
    plain = (before[0] == before[1]) & (before[1] == before[2])
    assert plain.float().mean() > 0.7
    torch.testing.assert_close(before[0][plain].float(), shown[plain], atol=1, rtol=0)
    assert not torch.equal(before, after)


def test_scans_left_where_their_headers_put_them_have_no_before(tmp_path, head_pair, columns):
    write(tmp_path / "a.png", *head_pair, "header", np.eye(4))
    assert list(columns) == ["MR", "PT", "Checkerboard", "MR edges"]


def test_scans_of_one_modality_have_a_difference(tmp_path, head_pair, columns):
    fixed, moving = head_pair
    other = make_volume(moving.as_tensor(), moving.affine, modality=modality_of(fixed))
    write(tmp_path / "a.png", fixed, other, "header", np.eye(4))
    assert list(columns) == ["MR, fixed", "MR, moving", "Checkerboard", "MR edges", "Difference"]


def test_the_picture_shows_the_right_of_the_patient_on_the_left(tmp_path, head_pair):
    fixed, moving = head_pair  # the hot body lies on the patient's left
    path = write(tmp_path / "a.png", fixed, moving, matrix=np.eye(4), keep=False)
    picture = np.asarray(Image.open(path).convert("L"), float)
    top, width = picture[: picture.shape[0] // 3], picture.shape[1]
    moving_column = top[:, int(width * 0.25) : int(width * 0.46)]
    hottest = np.argwhere(moving_column > 0.9 * moving_column.max())[:, 1].mean()
    assert hottest > moving_column.shape[1] / 2
