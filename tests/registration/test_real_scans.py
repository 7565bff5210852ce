from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.registration import register
from refinefuse_med.volume import from_nibabel


@pytest.mark.parametrize("name", ["pet", "ct", "spect"])
def test_scans_simulated_from_a_real_template_come_within_a_millimetre(
    shared_data: Path, name: str
):
    folder = shared_data / "volumes" / "synth_icbm152"
    fixed = from_nibabel(nib.load(folder / "mr_t1.nii.gz"))
    moving = from_nibabel(nib.load(folder / f"{name}.nii.gz"))
    truth = json.loads((folder / "truth.json").read_text())["transforms"][f"{name}_to_mr_t1"]
    landmarks = np.array(json.loads((folder / "landmarks_mr_lps.json").read_text())).T
    result = register(fixed, moving, RegistrationConfig(method="rigid"))
    apart = (result.matrix_fixed_to_moving_lps - np.linalg.inv(truth))[:3]
    errors = np.linalg.norm(apart[:, :3] @ landmarks + apart[:, 3:], axis=0)
    assert errors.mean() < 1.0
    assert result.verdict == "ok"
