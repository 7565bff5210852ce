"""Measurement on the patients held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refinefuse_med.metrics import evaluate_fusion
from refinefuse_med.training.pairs import SlicePair

__all__ = ["Fuse", "Scores", "format_scores", "pixel_maximum", "validate"]

Fuse = Callable[[Tensor, Tensor], Tensor]
"""Two (1, 1, H, W) in [0, 1] to a fused one, as `RefineFuse`."""

Scores = dict[str, dict[str, float]]
"""Modality to metric to mean value."""


def pixel_maximum(anatomical: Tensor, functional: Tensor) -> Tensor:
    """Fuse by the brighter source of each pixel: the rival to beat."""
    return torch.maximum(anatomical, functional)


@torch.inference_mode()
def validate(fuse: Fuse, pairs: Sequence[SlicePair]) -> Scores:
    """Fuse every pair and average the metrics over the slices of each modality.

    Pictures are rounded to 8 bits before they are measured, as saved ones are.
    """
    values: dict[str, list[dict[str, float]]] = {}
    for pair in pairs:
        a, f = pair.load()
        fused = fuse(_to_tensor(a), _to_tensor(f))
        grey = np.rint(fused[0, 0].numpy() * 255)
        values.setdefault(pair.modality, []).append(evaluate_fusion(grey, a, f))
    return {
        modality: {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for modality, rows in values.items()
    }


def format_scores(scores: Scores) -> str:
    """Give a line for each modality."""
    return "\n".join(
        f"{modality:9} " + "  ".join(f"{name} {value:.3f}" for name, value in row.items())
        for modality, row in scores.items()
    )


def _to_tensor(grey: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(grey.astype(np.float32) / np.float32(255))[None, None]
