"""Lesions whose visibility is known."""

import numpy as np
import pytest

from refinefuse_med.metrics.visibility import lesion_signal, visibility

LESION = np.hypot(*np.mgrid[-16:16, -16:16]) < 5


def pictures(contrast: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """With and without a lesion, 400 realisations each."""
    grain = np.random.default_rng(seed).normal(0, noise, (400, 32, 32))
    return 100 + contrast * LESION + grain, 100 + grain


def test_a_disc_in_white_noise_has_the_detectability_of_its_energy() -> None:
    signal = lesion_signal(*pictures(-6.0, 3.0), LESION)
    assert signal.contrast == pytest.approx(-6.0)
    assert signal.contrast_to_noise == pytest.approx(2.0, rel=0.02)
    assert signal.detectability == pytest.approx(2.0 * np.sqrt(LESION.sum()), rel=0.02)


def test_half_the_contrast_under_the_same_noise_is_half_as_visible() -> None:
    source = lesion_signal(*pictures(8.0, 2.0), LESION)
    fused = lesion_signal(*pictures(4.0, 2.0), LESION)
    for ratio in visibility(fused, source).to_dict().values():
        assert ratio == pytest.approx(0.5, rel=1e-6)


def test_noise_of_the_other_scan_costs_visibility_but_no_contrast() -> None:
    source = lesion_signal(*pictures(8.0, 3.0), LESION)
    other = np.random.default_rng(1).normal(0, 4.0, (400, 32, 32))
    fused = lesion_signal(*(p + other for p in pictures(8.0, 3.0)), LESION)
    seen = visibility(fused, source)
    assert seen.contrast == pytest.approx(1.0)
    assert seen.contrast_to_noise == pytest.approx(3 / 5, rel=0.03)
    assert seen.detectability == pytest.approx(3 / 5, rel=0.03)


def test_a_dark_lesion_that_became_bright_has_negative_contrast() -> None:
    source = lesion_signal(*pictures(-8.0, 2.0), LESION)
    fused = lesion_signal(*pictures(8.0, 2.0), LESION)
    assert visibility(fused, source).contrast == pytest.approx(-1.0)


def test_a_lesion_in_one_channel_is_seen_in_colour() -> None:
    grey = pictures(8.0, 2.0)
    coloured = [np.stack([np.full_like(p, 50.0), p, 0 * p], axis=-1) for p in grey]
    seen = visibility(lesion_signal(*coloured, LESION), lesion_signal(*grey, LESION))
    assert list(seen.to_dict().values()) == pytest.approx([1.0, 1.0, 1.0])


def test_a_lesion_that_the_source_does_not_show_is_refused() -> None:
    nothing = lesion_signal(*pictures(0.0, 1.0), LESION)
    with pytest.raises(ValueError, match="does not show"):
        visibility(nothing, nothing)
