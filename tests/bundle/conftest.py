"""The bundle, and what its commands need."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai import bundle

from refinefuse_med.bundle import ROOT

CONFIGS = ROOT / "configs"


@pytest.fixture(scope="session")
def configs() -> Path:
    return CONFIGS


@pytest.fixture(scope="session")
def run_bundle():
    """``python -m monai.bundle run`` in this process."""

    def run(name: str, **values: object) -> None:
        bundle.run(config_file=str(CONFIGS / f"{name}.json"), logging_file=False, **values)

    return run


@pytest.fixture(scope="session")
def checkpoint(run_bundle, tmp_path_factory) -> Path:
    """A state dict as MONAI's exports ask for one."""
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    run_bundle("checkpoint", ckpt_file=str(path))
    return path
