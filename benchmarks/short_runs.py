"""Training runs short enough to compare variants of a recipe."""

from __future__ import annotations

from pathlib import Path

from refinefuse_med.training.config import TrainingConfig

__all__ = ["shortened"]


def shortened(config: TrainingConfig, steps: int, folder: Path) -> TrainingConfig:
    """A recipe cut to a few steps: weights averaged over fewer, no scores on the way."""
    # A long average of a short run would still hold much of the untrained weights.
    decay = min(config.optimiser.ema_decay, max(0.0, 1 - 10 / steps))
    return config.model_copy(
        update={
            "steps": steps,
            "validate_every": steps,
            "validation_stride": 10**6,
            "optimiser": config.optimiser.model_copy(update={"ema_decay": decay}),
            "data": config.data.model_copy(update={"root": folder}),
        }
    )
