"""What each term of the loss prefers."""

import pytest
import torch

from refinefuse_med.metrics.fusion import (
    edge_preservation,
    structural_similarity,
    sum_of_correlations_of_differences,
    visual_information_fidelity,
)
from refinefuse_med.network.losses import (
    FusionLoss,
    LossWeights,
    contrast_transfer_loss,
    edge_transfer_loss,
    information_loss,
    scd_loss,
    signed_gradient_loss,
    ssim_loss,
)


@pytest.fixture
def a() -> torch.Tensor:
    return torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def f() -> torch.Tensor:
    return torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(1))


def test_an_edge_of_the_wrong_sign_costs(a: torch.Tensor) -> None:
    flat = torch.zeros_like(a)
    assert float(signed_gradient_loss(a, a, flat)) == 0.0
    assert float(signed_gradient_loss(1 - a, a, flat)) > float(signed_gradient_loss(flat, a, flat))


def test_ssim_loss_is_the_metric(a: torch.Tensor, f: torch.Tensor) -> None:
    loss = float(ssim_loss(a, f))
    x, y = (255.0 * z[0, 0].numpy() for z in (a, f))
    # The metric divides by n - 1, the loss by n.
    assert 1 - loss == pytest.approx(structural_similarity(x, y, y) / 2, abs=2e-3)


def test_scd_loss_is_the_metric(a: torch.Tensor, f: torch.Tensor) -> None:
    fused = torch.maximum(a, f)
    x, y, z = (picture[0, 0].numpy() for picture in (fused, a, f))
    expected = 2 - sum_of_correlations_of_differences(x, y, z)
    assert float(scd_loss(fused, a, f)) == pytest.approx(expected, abs=1e-3)


def test_what_exceeds_white_costs_and_is_pulled_back(a: torch.Tensor, f: torch.Tensor) -> None:
    fused = torch.full_like(a, 1.5, requires_grad=True)
    only = LossWeights(intensity=0, gradient=0, similarity=0, difference=0, overflow=1)
    loss, terms = FusionLoss(only)(fused, a, f)
    loss.backward()
    assert float(terms["overflow"]) == pytest.approx(0.5)
    assert bool((fused.grad > 0).all())


def test_black_pictures_give_finite_gradients() -> None:
    black = torch.zeros(1, 1, 32, 32)
    fused = black.clone().requires_grad_(True)
    FusionLoss()(fused, black, black)[0].backward()
    assert bool(torch.isfinite(fused.grad).all())


def test_edge_transfer_loss_is_the_metric() -> None:
    # Shapes with black around, as the two treat the border differently, and equal angles of
    # opposite sense.
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    a = torch.sigmoid((20 - torch.hypot(rows - 30, columns - 34)) / 2)[None, None]
    f = torch.sigmoid((12 - torch.hypot(rows - 24, 0.7 * (columns - 28))) / 3)[None, None]
    for fused in (torch.maximum(a, f), (a + f) / 2, f):
        x, y, z = (255.0 * picture[0, 0].double().numpy() for picture in (fused, a, f))
        kept = 1 - float(edge_transfer_loss(fused, a, f))
        assert kept == pytest.approx(edge_preservation(x, y, z), abs=0.05)


def test_information_loss_is_the_metric() -> None:
    generator = torch.Generator().manual_seed(2)
    a, f = torch.rand(2, 1, 1, 80, 96, generator=generator)
    fused = 0.7 * a + 0.2 * f
    x, y, z = (255.0 * picture[0, 0].double().numpy() for picture in (fused, a, f))
    kept = 2 - float(information_loss(fused, a) + information_loss(fused, f))
    assert kept == pytest.approx(visual_information_fidelity(x, y, z), rel=5e-3)


def test_a_lesion_shown_in_full_costs_nothing_and_one_lost_costs_all() -> None:
    fused = torch.full((1, 1, 40, 40), 0.5)
    change = torch.zeros_like(fused)
    change[..., 10:30, 10:30] = 0.3
    assert float(contrast_transfer_loss(fused, fused + change, change)) == pytest.approx(0)
    lost = float(contrast_transfer_loss(fused, fused, change))
    assert lost == pytest.approx(1, abs=0.02)
    half = float(contrast_transfer_loss(fused, fused + change / 2, change))
    assert half == pytest.approx(lost / 2)


def test_a_lesion_is_asked_for_only_as_far_as_white_allows() -> None:
    fused = torch.full((1, 1, 16, 16), 0.9)
    change = torch.full_like(fused, 0.4)
    assert float(contrast_transfer_loss(fused, torch.ones_like(fused), change)) == pytest.approx(
        0, abs=1e-6
    )


def test_twins_are_compared_with_the_samples_they_are_twins_of(
    a: torch.Tensor, f: torch.Tensor
) -> None:
    only = LossWeights(intensity=0, gradient=0, similarity=0, difference=0, lesions=1, overflow=0)
    with_lesion = f.clone()
    with_lesion[..., 20:30, 20:30] *= 0.5
    sources_a, sources_f = torch.cat((a, f, a)), torch.cat((f, a, with_lesion))
    fused = (sources_a + sources_f) / 2
    loss, terms = FusionLoss(only)(fused, sources_a, sources_f, twins=1)
    assert list(terms) == ["lesions"]
    assert float(loss) == pytest.approx(0.5, abs=0.05)


def test_a_gain_asks_for_edges_as_much_steeper(a: torch.Tensor) -> None:
    flat = torch.zeros_like(a)
    assert float(signed_gradient_loss(1.2 * a, a, flat, gain=1.2)) == pytest.approx(0, abs=1e-6)
    assert float(signed_gradient_loss(a, a, flat, gain=1.2)) > 0.01
