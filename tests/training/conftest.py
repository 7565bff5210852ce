"""A small set of made-up pictures, in the layout that training reads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from refinefuse_med.training.config import TrainingConfig

CASES = {"MRI-CT": (2, 41), "MRI-PET": (41, 25)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two patients a modality, two slices each; patient 41 in both modalities."""
    root = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    for modality, cases in CASES.items():
        for name in modality.split("-"):
            (root / modality / name).mkdir(parents=True)
        for stem in (1000 * case + k for case in cases for k in (7, 8)):
            for name in modality.split("-"):
                grey = ndimage.gaussian_filter(generator.random((48, 48)), 2)
                grey = (255 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)
                pixels = np.stack([grey, grey // 2, 0 * grey], axis=-1) if name == "PET" else grey
                Image.fromarray(pixels).save(root / modality / name / f"{stem}.png")
    return root


@pytest.fixture
def recipe(pictures: Path) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "name": "tiny",
            "steps": 4,
            "batch_size": 2,
            "checkpoint_every": 2,
            "validate_every": 4,
            "validation_stride": 1,
            "architecture": {"widths": [4, 8], "heads": 2, "key_grid": 4},
            "optimiser": {"warmup_steps": 1},
            "data": {
                "root": pictures,
                "modalities": ["MRI-CT", "MRI-PET"],
                "validation_cases": [41],
                "simulated": 0.0,
                "crop": 32,
            },
        }
    )
