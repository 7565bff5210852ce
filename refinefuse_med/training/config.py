"""A training recipe: everything that, with the data, determines the trained weights."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from refinefuse_med.errors import UsageError
from refinefuse_med.network.architecture import Architecture
from refinefuse_med.network.losses import LossWeights

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "FinishConfig",
    "OptimiserConfig",
    "TrainingConfig",
    "load_config",
]

Modality = Literal["MRI-CT", "MRI-PET", "MRI-SPECT"]


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Recipe):
    """Which pairs are learnt from, and which only measured on."""

    root: Path = Field(Path("fusion_train"), description="folder of MRI-CT, MRI-PET, MRI-SPECT")
    modalities: tuple[Modality, ...] = ("MRI-CT", "MRI-PET", "MRI-SPECT")
    shares: tuple[float, ...] = Field(
        (), description="how often each modality is drawn, one number each; alike by default"
    )
    validation_cases: tuple[int, ...] = Field(
        (), description="patients kept out of training, in every modality"
    )
    simulated: float = Field(0.25, ge=0.0, le=1.0, description="share of simulated pairs")
    crop: int = Field(128, ge=16, description="side of the training crops, in pixels")
    twins: int = Field(
        0, ge=0, description="samples of a batch that are others again, with a lesion in one source"
    )

    @model_validator(mode="after")
    def _shares_belong_to_modalities(self) -> Self:
        if self.shares and (len(self.shares) != len(self.modalities) or min(self.shares) <= 0):
            raise ValueError("shares: one positive number for each of the modalities")
        return self


class AugmentConfig(_Recipe):
    """How pairs are varied; chances are for each pair."""

    gamma: float = Field(0.25, ge=0.0, description="standard deviation of log gamma")
    gain: float = Field(0.25, ge=0.0, lt=1.0, description="largest change of the window's width")
    shift: int = Field(2, ge=0, description="largest misregistration, in pixels")
    shift_chance: float = Field(0.3, ge=0.0, le=1.0)
    noise: float = Field(0.02, ge=0.0, description="largest standard deviation of added noise")
    noise_chance: float = Field(0.3, ge=0.0, le=1.0)
    cut_chance: float = Field(
        0.1, ge=0.0, le=1.0, description="that the functional field of view ends inside the picture"
    )


class FinishConfig(_Recipe):
    """The end of the run, on pairs nearer to those that are fused in use.

    Variation teaches what does not matter, and makes careful: shown ever less sharp, shifted or
    noisy pairs, a network fuses sharp ones as if they were. The last steps take that back.
    """

    share: float = Field(0.0, ge=0.0, le=1.0, description="of the steps, at the end")
    simulated: float = Field(0.25, ge=0.0, le=1.0, description="share of simulated pairs")
    augment: AugmentConfig = AugmentConfig()


class OptimiserConfig(_Recipe):
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = Field(1e-3, gt=0.0)
    final_fraction: float = Field(0.01, ge=0.0, le=1.0, description="of the rate, at the end")
    warmup_steps: int = Field(100, ge=0)
    weight_decay: float = Field(1e-4, ge=0.0)
    clip_norm: float = Field(1.0, gt=0.0, description="largest norm of the gradient")
    ema_decay: float = Field(0.998, ge=0.0, lt=1.0, description="of the averaged weights")


class TrainingConfig(_Recipe):
    """One training run."""

    name: str = Field("refinefuse-s", pattern=r"^[a-z0-9][a-z0-9.-]*$")
    version: str = "0.1.0"
    licence: str = Field("", description="terms of the weights, for their manifest")
    seed: int = Field(0, ge=0)
    steps: int = Field(6000, ge=1)
    batch_size: int = Field(4, ge=1)
    threads: int = Field(1, ge=1, description="CPU threads; the result depends on them")
    checkpoint_every: int = Field(500, ge=1)
    validate_every: int = Field(1000, ge=1)
    validation_stride: int = Field(4, ge=1, description="measure on every n-th held-out slice")
    architecture: Architecture = Architecture()
    loss: LossWeights = LossWeights()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    finish: FinishConfig = FinishConfig()
    optimiser: OptimiserConfig = OptimiserConfig()

    def variation(self, step: int) -> tuple[float, AugmentConfig]:
        """Share of simulated pairs at a step, counted from 0, and how pairs are varied."""
        if step >= round(self.steps * (1 - self.finish.share)):
            return self.finish.simulated, self.finish.augment
        return self.data.simulated, self.augment

    def record(self) -> dict[str, Any]:
        """Give the recipe, fit for JSON, without the place of the data on this machine."""
        return self.model_dump(mode="json", exclude={"data": {"root"}})


def load_config(path: Path) -> TrainingConfig:
    """Read a recipe from a TOML or JSON file.

    Raises
    ------
    UsageError
        The file is missing, is neither TOML nor JSON, or a value of it is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return TrainingConfig.model_validate(values)
    except OSError as error:
        raise UsageError("the recipe cannot be read", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{key}: {first['msg']}", where=path, hint="mend the recipe") from error
    except ValueError as error:
        raise UsageError(f"neither TOML nor JSON ({error})", where=path) from error
