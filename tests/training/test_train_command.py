"""``refinefuse train``."""

import json
from pathlib import Path

from click.testing import CliRunner

from refinefuse_med.cli.train import train
from refinefuse_med.training.config import TrainingConfig


def test_a_recipe_becomes_weights(recipe: TrainingConfig, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(
        recipe.model_copy(update={"steps": 1}).model_dump_json(exclude={"data": {"root"}})
    )
    out = tmp_path / "run"
    arguments = [str(path), "--out", str(out), "--data", str(pictures), "--json", "--quiet"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["name"] == "tiny"
    assert (out / "tiny.safetensors").is_file()
