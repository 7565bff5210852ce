"""Half precision where a device is fast in it, and where it is shown to be exact enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

__all__ = ["HALF_DEVICES", "HALF_TOLERANCE", "largest_difference", "probe_of"]

HALF_DEVICES: Final = frozenset({"cuda"})
"""Devices that are tried in half precision. Not the CPU: some stop the process at it."""

HALF_TOLERANCE: Final = 1 / 255
"""Largest difference to float32, of pictures in [0, 1], at which half precision is used."""

_PROBES: Final = 4

Results = tuple[torch.Tensor, torch.Tensor]


def probe_of(wanted: torch.Tensor) -> torch.Tensor:
    """Up to four of the wanted slices, evenly through the stack, by index."""
    indices = wanted.nonzero()[:, 0]
    count = min(_PROBES, len(indices))
    return indices[torch.linspace(0, len(indices) - 1, count).round().long()]


def largest_difference(
    exact: Callable[[torch.Tensor], Results],
    half: Callable[[torch.Tensor], Results],
    sources: torch.Tensor,
) -> float:
    """How far half precision is from float32 on these slices; NaN where it overflows."""
    pairs = zip(exact(sources), half(sources), strict=True)
    return float(torch.stack([(x - y.float()).abs().max() for x, y in pairs]).max())
