"""The training run: deterministic from its recipe, and able to be taken up again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from refinefuse_med.errors import InputError
from refinefuse_med.network import RefineFuse, WeightsInfo, save_pretrained
from refinefuse_med.network.losses import FusionLoss
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.training.batches import BatchSource
from refinefuse_med.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from refinefuse_med.training.config import OptimiserConfig, TrainingConfig
from refinefuse_med.training.pairs import find_pairs, split_by_case
from refinefuse_med.training.validation import Scores, validate

__all__ = ["learning_rate", "train"]

Report = Callable[[int, dict[str, Any]], None]
"""Told of a step and what was measured at it."""


def learning_rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """Rate of a step, counted from 0: linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)


def train(
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    monitor: Monitor = SILENT,
    report: Report | None = None,
) -> WeightsInfo:
    """Train a network, and write its weights with their manifest to `out`.

    Parameters
    ----------
    config : TrainingConfig
        The recipe; with the data and the version of torch it determines the weights.
    out : Path
        Gets ``NAME.safetensors`` and ``NAME.json``, ``checkpoints/`` and ``log.jsonl``.
    resume : bool
        Go on from the newest checkpoint in `out`.
    monitor : Monitor
        Told of progress; cancelling leaves the checkpoints.
    report : callable, optional
        Told, as it is logged, of the loss and of the validation.

    Raises
    ------
    InputError
        The data or a checkpoint cannot be read, or `out` holds another run.
    """
    run = _Run(config, out)
    start = run.take_up(resume)
    for step in range(start, config.steps):
        monitor.update("training", step / config.steps)
        measured = run.step(step)
        done = step + 1
        last = done == config.steps
        if last or done % config.validate_every == 0:
            measured["validation"] = run.validate()
        if last or done % config.checkpoint_every == 0 or "validation" in measured:
            run.log(done, measured, report)
        if last or done % config.checkpoint_every == 0:
            run.save(done)
    return run.export(config.steps)


class _Run:
    """State of one training run."""

    def __init__(self, config: TrainingConfig, out: Path) -> None:
        self.config = config
        self.out = out
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        training, held_out = split_by_case(find_pairs(config.data), config.data.validation_cases)
        self.batches = BatchSource(config, training)
        self.held_out = held_out[:: config.validation_stride]
        # A sixth faster on a CPU than the default layout.
        self.model = RefineFuse(config.architecture).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        self.averaged = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(config.optimiser.ema_decay)
        )
        self.loss = FusionLoss(config.loss)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), weight_decay=config.optimiser.weight_decay
        )
        self.scores: Scores = {}

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "averaged": self.averaged}

    def take_up(self, resume: bool) -> int:
        """Give the first step to do."""
        checkpoint = latest_checkpoint(self.out / "checkpoints")
        if checkpoint is None:
            return 0
        if not resume:
            raise InputError(
                "holds a run already", where=self.out, hint="--resume it, or choose another folder"
            )
        record = load_checkpoint(checkpoint, self._modules, self.optimiser)
        if record["recipe"] != self.config.record():
            raise InputError("holds a run of another recipe", where=self.out)
        self.scores = record["validation"]
        return int(record["step"])

    def step(self, step: int) -> dict[str, Any]:
        """Learn from one batch."""
        rate = learning_rate(step, self.config.steps, self.config.optimiser)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        a, f = self.batches(step)
        fused = self.model.parts(a, f).sum(dim=1, keepdim=True)
        loss, terms = self.loss(fused, a, f, twins=self.config.data.twins)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimiser.clip_norm)
        self.optimiser.step()
        self.averaged.update_parameters(self.model)
        return {"loss": loss.item(), "rate": rate, **{k: v.item() for k, v in terms.items()}}

    def validate(self) -> Scores:
        """Measure the averaged weights on the patients held out."""
        self.averaged.eval()
        self.scores = validate(self.averaged, self.held_out)
        return self.scores

    def log(self, done: int, measured: dict[str, Any], report: Report | None) -> None:
        """Append to the log, and tell the caller."""
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": done, **measured}) + "\n")
        if report is not None:
            report(done, measured)

    def save(self, done: int) -> None:
        """Write a checkpoint, and the weights as they stand."""
        record = {"recipe": self.config.record(), "validation": self.scores}
        save_checkpoint(self.out / "checkpoints", done, self._modules, self.optimiser, record)
        self.export(done)

    def export(self, done: int) -> WeightsInfo:
        """Write the averaged weights with their manifest."""
        return save_pretrained(
            cast(RefineFuse, self.averaged.module),
            self.out,
            name=self.config.name,
            version=self.config.version,
            licence=self.config.licence,
            training={
                "seed": self.config.seed,
                "steps": done,
                "torch": torch.__version__,
                "recipe": self.config.record(),
                "validation": self.scores,
            },
        )
