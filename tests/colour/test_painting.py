"""Painting piece by piece gives the bytes of doing it at once."""

from __future__ import annotations

import pytest
import torch

from refinefuse_med import colour
from refinefuse_med.colour import pieces

NAMES = (*colour.PALETTES, "none")


@pytest.fixture(params=[2**20, 7])
def volumes(request, monkeypatch) -> tuple[torch.Tensor, torch.Tensor]:
    """A scalar and a fused luminance; in one piece, and in many."""
    monkeypatch.setattr(pieces, "_VOXELS_AT_ONCE", request.param)
    scalar, fused = torch.rand(2, 6, 5, 4, generator=torch.Generator().manual_seed(3))
    return scalar, fused


@pytest.mark.parametrize("name", NAMES)
def test_painting_is_colouring_and_rounding(volumes, name):
    scalar, _ = volumes
    rgb = colour.colourise(scalar, name)
    assert torch.equal(colour.paint(scalar, name), (255 * rgb).round().byte())
    torch.testing.assert_close(
        colour.painted_luminance(scalar, name), colour.luminance(rgb), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep", ["luminance", "chroma"])
def test_recolouring_as_painted_is_recolouring(volumes, name, keep):
    scalar, fused = volumes
    whole = colour.to_bytes(colour.recolour(fused, colour.colourise(scalar, name), keep)).int()
    assert int((colour.recolour_as_painted(fused, scalar, name, keep) - whole).abs().max()) <= 1


def test_volumes_that_are_not_contiguous_are_painted_in_place(volumes):
    scalar, fused = (volume.permute(2, 0, 1) for volume in volumes)
    shown = colour.recolour_as_painted(fused, scalar, "pet")
    assert torch.equal(
        shown, colour.recolour_as_painted(fused.contiguous(), scalar.contiguous(), "pet")
    )
    parts = torch.stack([scalar, fused]) / 2
    expected = (255 * colour.show_contribution(parts)).round().int()
    assert int((colour.paint_contribution(parts) - expected).abs().max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_palette_begins_with_black(name):
    # So that a scalar of 0 outside the field of view is enough.
    assert not colour.palette(name)[0].any()
