"""Luminance, chroma, and colour inside the gamut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from refinefuse_med.colour import chroma, colourise, luminance, recolour
from refinefuse_med.colour.luminance import CHROMA_WEIGHTS


@pytest.fixture
def colours() -> torch.Tensor:
    return torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def fused() -> torch.Tensor:
    return torch.rand(40, 50, generator=torch.Generator().manual_seed(2))


def test_luminance_is_the_y_of_full_range_ycbcr(colours):
    levels = (colours * 255).round()
    picture = levels.to(torch.uint8).movedim(0, -1).numpy()
    y, cb, cr = np.moveaxis(np.asarray(Image.fromarray(picture).convert("YCbCr"), float), -1, 0)
    np.testing.assert_allclose(luminance(levels / 255) * 255, y, atol=1)
    np.testing.assert_allclose(chroma(levels / 255) * 255 + 128, np.stack([cb, cr]), atol=1)


def _room(colours: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lowest and highest luminance that RGB has for the full chroma of each pixel."""
    difference = colours - luminance(colours)
    return -difference.amin(0), 1 - difference.amax(0)


def test_luminance_is_kept_exactly_everywhere(colours, fused):
    rgb = recolour(fused, colours, "luminance")
    assert float(rgb.min()) >= 0
    assert float(rgb.max()) <= 1
    torch.testing.assert_close(luminance(rgb), fused, atol=1e-6, rtol=0)


@pytest.mark.parametrize("keep", CHROMA_WEIGHTS)
def test_luminance_and_chroma_are_both_kept_exactly_where_rgb_has_room(colours, fused, keep):
    rgb = recolour(fused, colours, keep)
    assert rgb.shape == colours.shape
    low, high = _room(colours)
    has_room = (fused >= low) & (fused <= high)
    assert 0.1 < float(has_room.float().mean()) < 0.9
    torch.testing.assert_close(luminance(rgb)[has_room], fused[has_room], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        chroma(rgb)[:, has_room], chroma(colours)[:, has_room], atol=1e-6, rtol=0
    )


def test_luminance_gives_way_no_further_than_full_chroma_asks(colours, fused):
    rgb = recolour(fused, colours, "chroma")
    assert float(rgb.min()) >= 0
    assert float(rgb.max()) <= 1
    low, high = _room(colours)
    furthest = torch.minimum(torch.maximum(fused, low), high)
    between = (luminance(rgb) - fused) * (luminance(rgb) - furthest)
    assert float(between.max()) < 1e-6


@pytest.mark.parametrize("keep", CHROMA_WEIGHTS)
def test_the_compromise_is_the_best_by_its_own_measure(colours, fused, keep):
    def cost(rgb: torch.Tensor) -> torch.Tensor:
        apart = chroma(rgb) - chroma(colours)
        return (luminance(rgb) - fused) ** 2 + CHROMA_WEIGHTS[keep] * apart.square().sum(0)

    difference = colours - luminance(colours)
    best = cost(recolour(fused, colours, keep))
    for scale in torch.linspace(0, 1, 21):
        low, high = -scale * difference.amin(0), 1 - scale * difference.amax(0)
        y = torch.minimum(torch.maximum(fused, low), high)
        assert bool((best <= cost(y + scale * difference) + 1e-6).all())


@pytest.mark.parametrize("keep", CHROMA_WEIGHTS)
def test_recolouring_does_not_turn_the_hue_nor_raise_the_saturation(colours, fused, keep):
    before, after = chroma(colours), chroma(recolour(fused, colours, keep))
    cross = before[0] * after[1] - before[1] * after[0]
    assert float(cross.abs().max()) < 1e-6
    assert bool(((before * after).sum(0) >= -1e-7).all())
    assert bool((after.norm(dim=0) <= before.norm(dim=0) + 1e-6).all())


def test_the_full_chroma_is_kept_where_the_gamut_has_room():
    orange = torch.tensor([0.6, 0.45, 0.3])[:, None]
    rgb = recolour(torch.tensor([0.5]), orange)
    torch.testing.assert_close(chroma(rgb), chroma(orange))


@pytest.mark.parametrize("keep", CHROMA_WEIGHTS)
def test_the_chroma_is_shortened_by_no_more_than_it_takes(colours, fused, keep):
    rgb = recolour(fused, colours, keep)
    shortened = chroma(rgb).norm(dim=0) < chroma(colours).norm(dim=0) - 1e-4
    at_the_border = torch.minimum(rgb.amin(0), 1 - rgb.amax(0)) < 1e-6
    assert bool(shortened.any())
    assert bool(at_the_border[shortened].all())


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_where_the_functional_picture_is_grey_the_result_is_grey(fused, level):
    rgb = recolour(fused, torch.full((3, 40, 50), level))
    torch.testing.assert_close(rgb, fused.expand(3, -1, -1), atol=1e-6, rtol=0)


def test_a_picture_recoloured_with_its_own_luminance_is_itself(colours):
    torch.testing.assert_close(recolour(luminance(colours), colours), colours, atol=1e-6, rtol=0)


def test_where_the_functional_picture_is_black_the_result_is_the_luminance(fused):
    black = torch.zeros(3, 40, 50)
    assert torch.equal(recolour(fused, black), fused.expand(3, -1, -1))
    assert not recolour(torch.zeros(40, 50), black).any()


def test_volumes_are_recoloured_as_pictures_are():
    scalar = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(3))
    rgb = colourise(scalar, "pet")
    volume = recolour(scalar, rgb)
    assert volume.shape == (3, 4, 5, 6)
    assert torch.equal(volume[:, 2], recolour(scalar[2], rgb[:, 2]))


def test_the_sources_are_not_changed(colours, fused):
    before = colours.clone(), fused.clone()
    recolour(fused, colours)
    assert torch.equal(colours, before[0])
    assert torch.equal(fused, before[1])


@pytest.mark.parametrize(("modality", "largest_error"), [("PET", 1.5), ("SPECT", 0.6)])
def test_on_real_slices_hue_and_chroma_hold_where_clipping_loses_them(
    shared_data, modality, largest_error
):
    folder = shared_data / "fusion_train" / f"MRI-{modality}"
    names = sorted(p.name for p in (folder / modality).glob("*.png"))
    name = names[len(names) // 2]
    rgb = _read(folder / modality / name, "RGB").movedim(-1, 0)
    fused = torch.maximum(_read(folder / "MRI" / name, "L"), luminance(rgb))
    clipped = (rgb + fused - luminance(rgb)).clamp(0, 1)
    kept = recolour(fused, rgb, "chroma")
    coloured = chroma(rgb).abs().amax(0) > 8 / 255
    errors = [
        255 * float((chroma(x) - chroma(rgb))[:, coloured].abs().mean()) for x in (kept, clipped)
    ]
    assert errors[0] <= min(largest_error, errors[1])
    assert _largest_turn(rgb, kept) < 0.5 < _largest_turn(rgb, clipped)


def _read(path, mode: str) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert(mode), dtype=np.float32)) / 255


def _largest_turn(before: torch.Tensor, after: torch.Tensor) -> float:
    """Largest change of hue, in degrees, among pixels that show colour in both."""
    (b, r), (b2, r2) = chroma(before), chroma(after)
    coloured = (chroma(before).norm(dim=0) > 0.05) & (chroma(after).norm(dim=0) > 0.05)
    turn = torch.rad2deg(torch.atan2(b * r2 - r * b2, b * b2 + r * r2)).abs()
    return float(turn[coloured].max())
