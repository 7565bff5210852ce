"""The DICOM palettes."""

from __future__ import annotations

import pytest
import torch

from refinefuse_med.colour import PALETTES, colourise, default_colormap, palette
from refinefuse_med.errors import UsageError


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_runs_from_black_to_white(name):
    colours = palette(name)
    assert colours.shape == (256, 3)
    assert colours.dtype == torch.float32
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[255].tolist() == [1, 1, 1]


def test_hot_iron_is_that_of_the_standard():
    # DICOM PS3.6, B.1.1: red rises first, then green, then blue.
    assert (palette("hot_iron")[[64, 128, 192]] * 255).tolist() == [
        [128, 0, 0],
        [255, 0, 0],
        [255, 128, 4],
    ]


def test_changing_a_palette_does_not_change_the_next_one():
    palette("pet").zero_()
    assert palette("pet")[255].tolist() == [1, 1, 1]


def test_an_unknown_palette_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'jet'; use one of hot_iron, .*pet_20_step, none"):
        palette("jet")


def test_a_value_takes_its_colour_in_any_shape():
    scalar = torch.tensor([[-1.0, 0.0], [128 / 255, 7.0]])
    rgb = colourise(scalar, "hot_iron")
    assert rgb.shape == (3, 2, 2)
    assert (rgb[:, 1, 0] * 255).tolist() == [255, 0, 0]
    assert rgb[:, 0, 0].tolist() == rgb[:, 0, 1].tolist() == [0, 0, 0]
    assert rgb[:, 1, 1].tolist() == [1, 1, 1]


def test_without_a_palette_greys_keep_their_precision():
    scalar = torch.linspace(0, 1, 1001)
    assert torch.equal(colourise(scalar, "none"), scalar.expand(3, -1))
    assert palette("none")[100].tolist() == pytest.approx([100 / 255] * 3)


def test_the_default_colormap_follows_the_modality():
    chosen = {m: default_colormap(m) for m in ("PT", "NM", "OT", "CT", "MR")}
    assert chosen == {
        "PT": "hot_iron",
        "NM": "hot_iron",
        "OT": "hot_iron",
        "CT": "none",
        "MR": "none",
    }
