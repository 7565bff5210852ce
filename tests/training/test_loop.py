"""The training run: repeatable, resumable, and honest about whom it saw."""

import json
from pathlib import Path

import pytest
import torch

from refinefuse_med.errors import CancelledError, InputError
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import Monitor
from refinefuse_med.training.config import OptimiserConfig, TrainingConfig
from refinefuse_med.training.loop import learning_rate, train


def stop_at(fraction: float) -> Monitor:
    reached = [0.0]
    return Monitor(
        on_progress=lambda _, done: reached.__setitem__(0, done),
        is_cancelled=lambda: reached[0] >= fraction,
    )


def test_the_same_recipe_gives_the_same_weights(recipe: TrainingConfig, tmp_path: Path) -> None:
    first, second = (train(recipe, tmp_path / name) for name in ("first", "second"))
    assert first.sha256 == second.sha256


def test_a_resumed_run_ends_as_if_it_had_not_been_stopped(
    recipe: TrainingConfig, tmp_path: Path
) -> None:
    straight = train(recipe, tmp_path / "straight")
    with pytest.raises(CancelledError):
        train(recipe, tmp_path / "stopped", monitor=stop_at(0.5))
    resumed = train(recipe, tmp_path / "stopped", resume=True)
    assert resumed.sha256 == straight.sha256


def test_weights_come_with_their_recipe_and_scores(recipe: TrainingConfig, tmp_path: Path) -> None:
    info = train(recipe, tmp_path / "run")
    training = info.manifest["training"]
    assert training["recipe"]["data"]["validation_cases"] == [41]
    assert set(training["validation"]) == {"MRI-CT", "MRI-PET"}
    assert "root" not in training["recipe"]["data"], "the manifest names a place on this machine"
    model = RefineFuse.from_pretrained(info.path)
    assert model(*torch.rand(2, 1, 1, 16, 16)).shape == (1, 1, 16, 16)


def test_the_run_is_logged_and_keeps_no_pickle(recipe: TrainingConfig, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run")
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    kinds = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl"}


def test_a_run_is_not_overwritten(recipe: TrainingConfig, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run")
    with pytest.raises(InputError, match="holds a run already"):
        train(recipe, tmp_path / "run")


def test_a_run_is_not_resumed_by_another_recipe(recipe: TrainingConfig, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run")
    with pytest.raises(InputError, match="another recipe"):
        train(recipe.model_copy(update={"seed": 9}), tmp_path / "run", resume=True)


def test_the_rate_rises_then_falls_to_its_fraction() -> None:
    config = OptimiserConfig(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    rates = [learning_rate(step, 100, config) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
