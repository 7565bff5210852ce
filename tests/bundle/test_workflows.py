"""The configs that measure and train, on made-up pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from refinefuse_med.bundle.workflows import RECIPE, evaluate
from refinefuse_med.errors import InputError
from refinefuse_med.metrics import FUSION_METRICS
from refinefuse_med.network import RefineFuse
from refinefuse_med.training.config import load_config


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "pictures"
    values = np.random.default_rng(0)
    for side in ("MRI", "CT"):
        (root / "MRI-CT" / side).mkdir(parents=True)
        for stem in (2007, 2008, 41007):
            grey = values.integers(0, 255, (96, 96), dtype=np.uint8)
            Image.fromarray(grey).save(root / "MRI-CT" / side / f"{stem}.png")
    return root


def test_training_writes_weights_that_evaluation_and_inference_take(pictures, run_bundle, tmp_path):
    overrides = {
        "name": "tiny",
        "steps": 1,
        "batch_size": 2,
        "validation_stride": 1,
        "architecture": {"widths": [4, 8], "heads": 2, "key_grid": 4},
        "data": {
            "root": str(pictures),
            "modalities": ["MRI-CT"],
            "validation_cases": [41],
            "simulated": 0.0,
            "crop": 96,
        },
    }
    out = tmp_path / "run"
    run_bundle("train", dataset_dir=str(pictures), output_dir=str(out), overrides=overrides)
    weights = out / "tiny.safetensors"
    assert RefineFuse.from_pretrained(weights).weights_info()["name"] == "tiny"
    run_bundle(
        "evaluate",
        dataset_dir=str(pictures),
        modalities=["MRI-CT"],
        weights=str(weights),
        output_file=str(tmp_path / "scores.json"),
    )
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert set(scores) == {"MRI-CT"}
    assert set(scores["MRI-CT"]) == set(FUSION_METRICS)


def test_patients_that_are_not_there_are_an_error(pictures, tmp_path):
    with pytest.raises(InputError, match=r"no slices of the cases \[3\]"):
        evaluate(None, pictures, ["MRI-CT"], [3], tmp_path / "scores.json")
    assert not (tmp_path / "scores.json").exists()


def test_the_recipe_is_that_of_the_weights_in_the_package():
    assert load_config(RECIPE).name == "refinefuse-s"
