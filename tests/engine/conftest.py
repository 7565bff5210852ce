"""Stand-ins for the network, and volumes for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class StandIn(nn.Module):
    """What the engine needs of a network: the brighter source wins, by a weight of its own.

    ``seen`` keeps the sizes of the batches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def weight(self, anatomical: torch.Tensor, functional: torch.Tensor) -> torch.Tensor:
        return (anatomical >= functional).float()

    def forward(self, anatomical, functional):
        return self.with_contribution(anatomical, functional)[0]

    def with_contribution(self, anatomical, functional):
        self.seen.append(tuple(anatomical.shape))
        weight = self.weight(anatomical, functional)
        parts = torch.cat([weight * anatomical, (1 - weight) * functional], dim=1)
        return parts.sum(dim=1, keepdim=True), parts


class Directional(StandIn):
    """Weighs by a kernel without symmetry: it tells up from down, left from right, rows from
    columns.
    """

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.arange(1.0, 10).reshape(1, 1, 3, 3) ** 2
        self.register_buffer("kernel", kernel / kernel.sum())

    def weight(self, anatomical, functional):
        around = nn.functional.conv2d(anatomical - 0.7 * functional, self.kernel, padding=1)
        return (4 * around).sigmoid()


@pytest.fixture
def brighter() -> StandIn:
    return StandIn()


@pytest.fixture
def directional() -> Directional:
    return Directional()


@pytest.fixture
def sources() -> tuple[torch.Tensor, torch.Tensor]:
    """Anatomical and functional luminance, shape (12, 15, 9), without any symmetry."""
    draw = torch.Generator().manual_seed(7)
    return torch.rand(12, 15, 9, generator=draw), torch.rand(12, 15, 9, generator=draw)


@pytest.fixture
def threads():
    """Sets the number of PyTorch's threads, for this test alone."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
