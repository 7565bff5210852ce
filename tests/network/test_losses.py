"""What each term of the loss prefers."""

import pytest
import torch

from refinefuse_med.metrics.fusion import structural_similarity, sum_of_correlations_of_differences
from refinefuse_med.network.losses import (
    FusionLoss,
    LossWeights,
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
