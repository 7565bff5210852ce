"""What the configs ``evaluate.json`` and ``train.json`` run: the package's own functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from refinefuse_med.bundle.network import StackedRefineFuse
from refinefuse_med.errors import InputError
from refinefuse_med.io import write_json
from refinefuse_med.training.config import DataConfig, TrainingConfig, load_config
from refinefuse_med.training.loop import train as run_training
from refinefuse_med.training.pairs import find_pairs
from refinefuse_med.training.validation import Scores, validate

__all__ = ["RECIPE", "evaluate", "train"]

RECIPE = Path(__file__).parents[1] / "training" / "recipes" / "refinefuse-s.toml"
"""The recipe of the weights in the package."""


def evaluate(
    network: StackedRefineFuse,
    dataset_dir: str | Path,
    modalities: Sequence[str],
    cases: Collection[int],
    output_file: str | Path,
) -> Scores:
    """Measure the fusion of registered slice pairs of these patients, and write the scores.

    Raises
    ------
    InputError
        No pair of these patients, or the folder cannot be read.
    """
    config = DataConfig.model_validate({"root": dataset_dir, "modalities": tuple(modalities)})
    pairs = [pair for pair in find_pairs(config) if pair.case in cases]
    if not pairs:
        raise InputError(
            f"no slices of the cases {sorted(cases)}", where=dataset_dir, hint="name other cases"
        )
    scores = validate(network.refinefuse, pairs)
    write_json(scores, Path(output_file))
    return scores


def train(
    recipe: str | Path,
    dataset_dir: str | Path,
    output_dir: str | Path,
    *,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Train by a recipe, and return the weights file.

    Parameters
    ----------
    recipe : str or Path
        TOML or JSON; `RECIPE` where it is empty.
    dataset_dir : str or Path
        Folder of MRI-CT, MRI-PET and MRI-SPECT.
    output_dir : str or Path
        Gets the weights with their manifest, the log and the checkpoints.
    resume : bool
        Go on from the newest checkpoint.
    overrides : dict, optional
        Values that replace those of the recipe.
    """
    written = load_config(Path(recipe or RECIPE)).model_dump()
    written["data"]["root"] = Path(dataset_dir)
    config = TrainingConfig.model_validate({**written, **(overrides or {})})
    return run_training(config, Path(output_dir), resume=resume).path
