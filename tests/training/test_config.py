"""Recipes: read, validated, refused in one line."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from refinefuse_med.errors import UsageError
from refinefuse_med.training.config import TrainingConfig, load_config


def test_the_packaged_recipe_is_valid() -> None:
    recipe = load_config(Path(str(files("refinefuse_med.training") / "recipes/refinefuse-s.toml")))
    assert recipe.name == "refinefuse-s"
    assert recipe.data.validation_cases


def test_a_recipe_survives_json(tmp_path: Path) -> None:
    recipe = TrainingConfig(seed=7)
    path = tmp_path / "recipe.json"
    path.write_text(recipe.model_dump_json())
    assert load_config(path) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"steps": 0}', "steps"),
        ('{"stpes": 5}', "stpes"),
        ('{"architecture": {"heads": 7}}', "architecture"),
        ("{", "neither TOML nor JSON"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_the_manifest_shows_no_path(tmp_path: Path) -> None:
    recipe = TrainingConfig.model_validate({"data": {"root": tmp_path}})
    assert str(tmp_path) not in json.dumps(recipe.record())
