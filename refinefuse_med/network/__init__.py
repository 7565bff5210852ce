"""RefineFuse, its modules, its losses and its trained weights."""

from __future__ import annotations

from refinefuse_med.network.architecture import Architecture
from refinefuse_med.network.pretrained import (
    DEFAULT_WEIGHTS,
    WeightsInfo,
    load_weights,
    save_pretrained,
    weights_info,
)
from refinefuse_med.network.refinefuse import RefineFuse

__all__ = [
    "DEFAULT_WEIGHTS",
    "Architecture",
    "RefineFuse",
    "WeightsInfo",
    "load_weights",
    "save_pretrained",
    "weights_info",
]
