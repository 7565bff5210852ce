"""Fusion metrics against closed forms."""

import numpy as np
import pytest

from refinefuse_med.metrics import FUSION_METRICS, evaluate_fusion
from refinefuse_med.metrics.fusion import (
    average_gradient,
    edge_preservation,
    entropy,
    mutual_information,
    spatial_frequency,
    standard_deviation,
    structural_similarity,
    sum_of_correlations_of_differences,
    visual_information_fidelity,
)


@pytest.fixture
def texture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64)).astype(float)


@pytest.fixture
def other() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (64, 64)).astype(float)


def ramp(slope: float) -> np.ndarray:
    return np.tile(slope * np.arange(64.0), (64, 1))


def test_standard_deviation_of_two_equal_halves_is_half_their_distance() -> None:
    halves = np.repeat([[10.0, 50.0]], 8, axis=0)
    assert standard_deviation(halves) == pytest.approx(20.0)


def test_spatial_frequency_of_a_ramp_is_its_slope() -> None:
    assert spatial_frequency(ramp(3.0)) == pytest.approx(3.0)


def test_average_gradient_of_a_ramp_is_its_slope_over_root_two() -> None:
    assert average_gradient(ramp(3.0)) == pytest.approx(3.0 / np.sqrt(2))


def test_entropy_of_equally_many_of_each_level_is_eight_bits() -> None:
    assert entropy(np.arange(256).reshape(16, 16)) == pytest.approx(8.0)
    assert entropy(np.full((16, 16), 7)) == 0.0


def test_mutual_information_with_itself_is_its_entropy_in_nats() -> None:
    levels = np.arange(256).reshape(16, 16)
    assert mutual_information(levels, levels, np.zeros((16, 16))) == pytest.approx(np.log(256))


def test_scd_of_the_sum_of_both_sources_is_two(texture: np.ndarray, other: np.ndarray) -> None:
    assert sum_of_correlations_of_differences(texture + other, texture, other) == pytest.approx(2.0)


def test_scd_of_one_source_lacks_the_other(texture: np.ndarray) -> None:
    black = np.zeros_like(texture)
    assert sum_of_correlations_of_differences(texture, texture, black) == pytest.approx(1.0)


def test_vif_of_a_perfect_copy_is_one_for_each_source(texture: np.ndarray) -> None:
    assert visual_information_fidelity(texture, texture, texture) == pytest.approx(2.0, abs=1e-6)


def test_vif_rises_with_contrast_and_falls_with_blur(texture: np.ndarray) -> None:
    stronger = visual_information_fidelity(1.5 * texture, texture, texture)
    weaker = visual_information_fidelity(0.5 * texture, texture, texture)
    assert weaker < 2.0 < stronger


def test_qabf_of_a_perfect_copy_reaches_its_ceiling() -> None:
    disk = 200.0 * (np.hypot(*np.mgrid[-32:32, -32:32]) < 20)
    # Equal strengths transfer the strength itself, which saturates the first factor.
    ceiling = 0.9994 * 0.9879 / (1 + np.exp(-22 * 0.2))
    assert edge_preservation(disk, disk, disk) == pytest.approx(ceiling, rel=1e-3)
    assert edge_preservation(np.zeros_like(disk), disk, disk) < 0.01


def test_qabf_without_any_edge_is_zero() -> None:
    black = np.zeros((16, 16))
    assert edge_preservation(black, black, black) == 0.0


def test_ssim_of_a_perfect_copy_is_one_for_each_source(texture: np.ndarray) -> None:
    assert structural_similarity(texture, texture, texture) == pytest.approx(2.0)


def test_ssim_of_two_constants_is_the_luminance_term() -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 50 + c1) / (100**2 + 50**2 + c1)
    found = structural_similarity(
        np.full((9, 9), 100.0), np.full((9, 9), 50.0), np.full((9, 9), 50.0)
    )
    assert found == pytest.approx(2 * expected)


def test_every_metric_is_given_in_order(texture: np.ndarray, other: np.ndarray) -> None:
    scores = evaluate_fusion(np.maximum(texture, other), texture, other)
    assert tuple(scores) == FUSION_METRICS
    assert np.isfinite(list(scores.values())).all()


def test_black_pictures_are_measured_without_a_warning() -> None:
    black = np.zeros((64, 64))
    assert np.isfinite(list(evaluate_fusion(black, black, black).values())).all()
