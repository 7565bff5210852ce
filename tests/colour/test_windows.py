"""Windows chosen by modality."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refinefuse_med.colour import apply_window, auto_window
from refinefuse_med.volume import make_volume


def _head(background: float, tissue: float, noise: float = 0.0) -> np.ndarray:
    """A ball of tissue, brighter towards its middle, in air."""
    draw = np.random.default_rng(0)
    away = np.linalg.norm(np.indices((32, 32, 32)) - 15.5, axis=0)
    values = np.where(away < 11, tissue * (1.5 - away / 22), background)
    return values + noise * np.abs(draw.normal(size=values.shape))


def _volume(values, modality, units="a.u."):
    return make_volume(values, np.diag([2, 2, 3, 1]), modality=modality, units=units)


def test_noise_around_the_head_is_black_in_an_mr():
    mr = _volume(_head(0, 600, noise=12), "MR")
    shown = apply_window(mr.as_tensor()[0], auto_window(mr))
    assert float(shown[:4].median()) < 1e-3
    assert float(shown[:4].quantile(0.95)) < 0.03
    assert 0.75 < float(shown[16, 16, 16]) < 0.85


def test_only_an_anatomical_mr_leaves_room_for_colour_above_its_brightest_tissue():
    mr = _volume(_head(0, 600), "MR")
    (low, high), whole = auto_window(mr), auto_window(mr, role="functional")
    assert low == whole[0] == 0
    assert 0.8 * high == pytest.approx(whole[1])
    pet = _volume(_head(0, 4), "PT")
    assert auto_window(pet) == auto_window(pet, role="functional")


def test_an_mr_window_ignores_a_few_spikes():
    values = _head(0, 600)
    plain = auto_window(_volume(values, "MR"))
    values[0, 0, :3] = 60000
    spiked = auto_window(_volume(values, "MR"))
    assert spiked == pytest.approx(plain, rel=0.1)


def test_an_mr_normalised_to_negative_values_has_a_black_background():
    mr = _volume((_head(0, 600) - 300) / 200, "MR")
    low, high = auto_window(mr)
    assert low == pytest.approx(-1.5)
    assert high > 2


@pytest.mark.parametrize(("modality", "units"), [("PT", "SUVbw"), ("NM", "counts")])
def test_no_uptake_is_black_and_negative_values_are_clipped(modality, units):
    pet = _volume(_head(-0.5, 4), modality, units)
    low, high = auto_window(pet)
    assert low == 0
    assert 5 < high <= 6
    assert float(apply_window(pet.as_tensor(), (low, high))[0, 0, 0, 0]) == 0


def test_a_window_looks_at_the_mask_alone():
    values = _head(0, 4)
    values[:, :, :4] = 100
    mask = torch.ones(32, 32, 32, dtype=torch.bool)
    mask[:, :, :4] = False
    assert auto_window(_volume(values, "PT"), mask)[1] < 7


def test_ct_shows_bone_in_the_functional_role_and_soft_tissue_as_anatomy():
    ct = _volume(_head(-1000, 40), "CT", "HU")
    air, brain, bone = torch.tensor([-1000.0, 35.0, 1200.0])
    functional = auto_window(ct, role="functional")
    assert float(apply_window(air, functional)) == 0
    assert float(apply_window(brain, functional)) < 0.1
    assert float(apply_window(bone, functional)) == 1
    anatomical = auto_window(ct, role="anatomical")
    assert 0.4 < float(apply_window(brain, anatomical)) < 0.6


def test_ct_in_unknown_units_is_windowed_by_its_values():
    ct = _volume(_head(0, 4000), "CT")
    assert auto_window(ct, role="functional")[1] > 5000


def test_a_constant_volume_has_a_window_all_the_same():
    low, high = auto_window(_volume(np.zeros((4, 4, 4)), "PT"))
    assert low < high


def test_a_large_volume_is_sampled_evenly_and_always_alike():
    # 32 slices: a stride over the flat array would meet a few of them alone.
    values = np.tile(np.arange(32, dtype=np.float32), (300, 300, 1))
    first = auto_window(_volume(values, "MR"), role="functional")
    assert first == auto_window(_volume(values, "MR"), role="functional")
    assert first == (1, 31)


def test_a_window_maps_its_ends_to_black_and_white():
    shown = apply_window(torch.tensor([-5.0, 0.0, 2.5, 10.0, 11.0]), (0, 10))
    assert shown.tolist() == [0, 0, 0.25, 1, 1]
    assert apply_window(torch.tensor([3], dtype=torch.int16), (0, 4)).dtype == torch.float32
