"""Checkpoints of a training run: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from refinefuse_med.errors import InputError

__all__ = ["latest_checkpoint", "load_checkpoint", "save_checkpoint"]

KEPT = 2
"""Checkpoints that stay; older ones are removed."""


def save_checkpoint(
    folder: Path,
    step: int,
    modules: Mapping[str, nn.Module],
    optimiser: Optimizer,
    record: Mapping[str, Any],
) -> Path:
    """Write ``folder/step-NNNNNNN`` whole or not at all, and drop the oldest.

    Parameters
    ----------
    modules : mapping of str to nn.Module
        Each saved as ``NAME.safetensors``.
    optimiser : torch.optim.Optimizer
        Its state is saved as ``optimiser.safetensors``; the rate is the schedule's.
    record : mapping
        What else is to be known, fit for JSON.
    """
    target = folder / f"step-{step:07d}"
    partial = folder / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, module in modules.items():
        _save(module.state_dict(), partial / f"{name}.safetensors")
    flat = {
        f"{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    _save(flat, partial / "optimiser.safetensors")
    state_text = json.dumps({"step": step, **record}, indent=2)
    (partial / "state.json").write_text(state_text + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """Find the newest checkpoint of a run; None where there is none."""
    return next(reversed(_checkpoints(folder)), None)


def load_checkpoint(
    checkpoint: Path, modules: Mapping[str, nn.Module], optimiser: Optimizer
) -> dict[str, Any]:
    """Bring modules and optimiser to the state of a checkpoint, and give its record.

    Raises
    ------
    InputError
        The checkpoint is damaged, or of another network.
    """
    try:
        for name, module in modules.items():
            module.load_state_dict(safetensors.torch.load_file(checkpoint / f"{name}.safetensors"))
        state: dict[int, dict[str, Tensor]] = {}
        flat = safetensors.torch.load_file(checkpoint / "optimiser.safetensors")
        for key, value in flat.items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
        record: dict[str, Any] = json.loads((checkpoint / "state.json").read_text("utf-8"))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"not a checkpoint of this run ({type(error).__name__})",
            where=checkpoint,
            hint="remove it to go on from the one before",
        ) from error
    return record


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, path)
