"""Folders of PNG slices in, fused PNG slices out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from refinefuse_med.colour import luminance, recolour
from refinefuse_med.config import EngineConfig
from refinefuse_med.errors import CancelledError, InputError, NoPairError, OutputError
from refinefuse_med.io.pictures import match_slices
from refinefuse_med.progress import Monitor
from refinefuse_med.slices import fuse_slices

CPU = EngineConfig(device="cpu")


class Brighter(torch.nn.Module):
    """The brighter source wins."""

    def with_contribution(self, anatomical, functional):
        weight = (anatomical >= functional).float()
        parts = torch.cat([weight * anatomical, (1 - weight) * functional], dim=1)
        return parts.sum(dim=1, keepdim=True), parts

    def weights_info(self):
        return {"name": "brighter", "sha256": ""}


def _grey(size=(20, 14), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)


def _colours(size=(20, 14), seed=1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Write pictures by name into folders ``mri`` and ``pet``, and give both."""

    def write(mri: dict[str, Image.Image], pet: dict[str, Image.Image]):
        for folder, pictures in (("mri", mri), ("pet", pet)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name, picture in pictures.items():
                picture.save(tmp_path / folder / name)
        return tmp_path / "mri", tmp_path / "pet"

    return write


def _fuse(folders, out, **options):
    return fuse_slices(*folders, out, CPU, model=Brighter(), **options)


def test_a_coloured_slice_gives_colour_and_a_grey_one_grey(folders, tmp_path):
    grey, rgb = _grey(), _colours()
    pictures = folders(
        {"1.png": Image.fromarray(grey), "2.png": Image.fromarray(grey)},
        {"1.png": Image.fromarray(rgb), "2.png": Image.fromarray(_grey(seed=5)).convert("RGB")},
    )
    record = _fuse(pictures, tmp_path / "out")
    assert record["outputs"] == ["1.png", "2.png"]
    assert record["fusion"]["slices"] == 2

    functional = torch.from_numpy(rgb).movedim(-1, 0) / 255
    fused = torch.maximum(torch.from_numpy(grey) / 255, luminance(functional))
    expected = (recolour(fused, functional, "chroma") * 255).round().movedim(0, -1).numpy()
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), expected)
    with Image.open(tmp_path / "out" / "2.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), np.maximum(grey, _grey(seed=5)))


def test_luminance_is_written_in_grey(folders, tmp_path):
    grey, rgb = _grey(), _colours()
    pictures = folders({"1.png": Image.fromarray(grey)}, {"1.png": Image.fromarray(rgb)})
    _fuse(pictures, tmp_path / "out", luminance=True)
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert image.mode == "L"
        y = rgb @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(np.asarray(image), np.maximum(grey, y), atol=0.51)


def test_sizes_may_differ_from_pair_to_pair(folders, tmp_path):
    sizes = {"a": (1, 1), "b": (33, 7), "c": (20, 14), "d": (33, 7)}
    pictures = folders(
        {f"{n}.png": Image.fromarray(_grey(s)) for n, s in sizes.items()},
        {f"{n}.PNG": Image.fromarray(_colours(s)) for n, s in sizes.items()},
    )
    record = _fuse(pictures, tmp_path / "out")
    assert record["outputs"] == ["a.png", "b.png", "c.png", "d.png"]
    for name, size in sizes.items():
        with Image.open(tmp_path / "out" / f"{name}.png") as image:
            assert image.size == size


def test_no_picture_is_stretched(folders, tmp_path):
    dim = Image.fromarray(np.full((6, 8), 40, np.uint8))
    black = Image.fromarray(np.zeros((6, 8), np.uint8))
    _fuse(
        folders({"1.png": dim, "2.png": black}, {"1.png": black, "2.png": black}),
        tmp_path / "out",
    )
    for name, level in (("1.png", 40), ("2.png", 0)):
        with Image.open(tmp_path / "out" / name) as image:
            assert set(np.asarray(image).ravel()) == {level}


def test_every_kind_of_png_is_understood(folders, tmp_path):
    grey, rgb = _grey(), _colours()
    indexed = Image.fromarray(grey).convert("P")
    alpha = Image.fromarray(np.dstack([rgb, np.full(grey.shape, 9, np.uint8)]))
    mri = {
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "indexed.png": indexed,
        "alpha.png": Image.merge("LA", [Image.fromarray(grey), Image.new("L", (20, 14), 3)]),
        "bits.png": Image.fromarray(grey).convert("1"),
    }
    black = Image.new("L", (20, 14))
    pictures = folders(mri, dict.fromkeys(mri, black) | {"alpha.png": alpha})
    _fuse(pictures, tmp_path / "out")
    for name in ("deep.png", "indexed.png"):
        with Image.open(tmp_path / "out" / name) as image:
            np.testing.assert_array_equal(np.asarray(image), grey)
    with Image.open(tmp_path / "out" / "alpha.png") as image:
        assert image.mode == "RGB"
        y = np.maximum(grey, rgb @ np.array([0.299, 0.587, 0.114]))
        colours = torch.from_numpy(rgb.astype(np.float32) / 255).movedim(-1, 0)
        shown = recolour(torch.from_numpy(y / 255).float(), colours, "chroma").movedim(0, -1)
        np.testing.assert_allclose(np.asarray(image), 255 * shown.numpy(), atol=0.51)
    with Image.open(tmp_path / "out" / "bits.png") as image:
        assert set(np.asarray(image).ravel()) == {0, 255}


def test_files_without_a_partner_are_named(folders, tmp_path):
    picture = Image.fromarray(_grey())
    pictures = folders(
        {"1.png": picture, "2.png": picture, "7.png": picture}, {"1.png": picture, "3.png": picture}
    )
    (pictures[0] / "notes.txt").write_text("not a slice")
    record = _fuse(pictures, tmp_path / "out")
    assert record["outputs"] == ["1.png"]
    first, second = record["warnings"]
    assert first.endswith("mri: no partner for 2.png, 7.png")
    assert second.endswith("pet: no partner for 3.png")


def test_no_pair_at_all_is_an_error(folders, tmp_path):
    picture = Image.fromarray(_grey())
    pictures = folders({"1.png": picture}, {"2.png": picture})
    with pytest.raises(NoPairError, match="no PNG slice has a partner"):
        _fuse(pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_partners_of_different_size_are_refused_by_name(folders):
    pictures = folders(
        {"1.png": Image.fromarray(_grey((20, 14)))}, {"1.png": Image.fromarray(_grey((14, 20)))}
    )
    with pytest.raises(InputError, match=r"pet/1\.png: 14 x 20 pixels, .* partner 20 x 14"):
        match_slices(*pictures)


def test_two_files_of_one_stem_are_refused(folders):
    picture = Image.fromarray(_grey())
    pictures = folders({"1.png": picture, "1.PNG": picture}, {"1.png": picture})
    if len(list(pictures[0].iterdir())) == 1:
        pytest.skip("this file system does not tell upper from lower case")
    with pytest.raises(InputError, match=r"has the name of 1\.PNG"):
        match_slices(*pictures)


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_damaged_png_is_named_and_nothing_is_written(folders, tmp_path, keep):
    picture = Image.fromarray(_grey((64, 64)))
    pictures = folders({"1.png": picture, "2.png": picture}, {"1.png": picture, "2.png": picture})
    damaged = pictures[1] / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"2\.png: is not a readable PNG"):
        _fuse(pictures, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mri", "pet"]


def test_a_missing_folder_is_named(folders, tmp_path):
    mri, _ = folders({"1.png": Image.fromarray(_grey())}, {})
    with pytest.raises(InputError, match="nowhere: is not a folder"):
        _fuse((mri, tmp_path / "nowhere"), tmp_path / "out")


def test_an_output_that_exists_is_kept_unless_told_otherwise(folders, tmp_path):
    picture = Image.fromarray(_grey())
    pictures = folders({"1.png": picture}, {"1.png": picture})
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.png").touch()
    with pytest.raises(OutputError, match="already exists"):
        _fuse(pictures, out)
    assert [p.name for p in out.iterdir()] == ["old.png"]
    _fuse(pictures, out, if_exists="overwrite")
    assert [p.name for p in out.iterdir()] == ["1.png"]


def test_stopping_leaves_nothing_behind(folders, tmp_path):
    picture = Image.fromarray(_grey())
    pictures = folders({"1.png": picture}, {"1.png": picture})
    with pytest.raises(CancelledError):
        _fuse(pictures, tmp_path / "out", monitor=Monitor(is_cancelled=lambda: True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mri", "pet"]


def test_progress_rises_to_one_over_all_sizes(folders, tmp_path):
    told: list[float] = []
    pictures = folders(
        {f"{n}.png": Image.fromarray(_grey((8 + n, 8))) for n in range(4)},
        {f"{n}.png": Image.fromarray(_grey((8 + n, 8))) for n in range(4)},
    )
    monitor = Monitor(on_progress=lambda stage, fraction: told.append(fraction))
    _fuse(pictures, tmp_path / "out", monitor=monitor)
    assert told == [0, 0.25, 0.5, 0.75, 1]
