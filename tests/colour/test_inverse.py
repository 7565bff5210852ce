"""A pseudo-colour picture and its palette give back the values that were shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refinefuse_med.colour import PALETTES, colourise, uncolour
from refinefuse_med.errors import InputError
from refinefuse_med.volume import affine_ras, make_volume, source_of


def shown(values: torch.Tensor, name: str, affine):
    rgb = (colourise(values / 255, name) * 255).round().to(torch.uint8)
    return make_volume(rgb, affine, modality="PT")


@pytest.fixture
def values():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 5, 4))).float()


@pytest.mark.parametrize("name", PALETTES)
def test_values_come_back_as_far_as_the_palette_tells_them_apart(values, name, oblique):
    volume = shown(values, name, oblique)
    found = uncolour(volume, name)
    assert found.shape == (1, 6, 5, 4)
    np.testing.assert_array_equal(affine_ras(found), oblique)
    again = shown(found.as_tensor()[0], name, oblique)
    assert (again.numpy().astype(int) - volume.numpy()).__abs__().max() <= 3
    steps = 13 if name == "pet_20_step" else 3
    assert float((found.as_tensor()[0] - values).abs().max()) <= steps / 2 + 0.5
    assert name in source_of(found).warnings[-1]


def test_another_palette_is_refused(values, oblique):
    with pytest.raises(InputError, match="of the voxels have colours that the palette pet has not"):
        uncolour(shown(values, "hot_iron", oblique), "pet")


def test_a_grey_volume_has_no_palette(values, oblique):
    with pytest.raises(InputError, match="no colour picture"):
        uncolour(make_volume(values, oblique), "pet")
