"""The bundle's inference, as a user runs it."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from refinefuse_med.cli.main import cli
from refinefuse_med.io import load_volume


def _voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def by_fuse(files, tmp_path_factory):
    def run(**options):
        out = tmp_path_factory.mktemp("cli") / "out"
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        paths = [str(files["anatomical"]), str(files["functional"])]
        cli(["fuse", *paths, "-o", str(out), "-q", *flags], standalone_mode=False)
        return out

    return run


@pytest.mark.parametrize(
    "options",
    [
        {"register": "none"},
        {
            "register": "none",
            "plane": "coronal",
            "colormap": "pet",
            "keep": "chroma",
            "local_contrast": 0.5,
        },
        {"register": "none", "colormap": "none"},
    ],
    ids=["default", "coronal", "grey"],
)
def test_the_bundle_gives_the_voxels_of_refinefuse_fuse(
    files, by_fuse, run_bundle, tmp_path, options
):
    paths = {role: str(path) for role, path in files.items()}
    run_bundle("inference", **paths, output_dir=str(tmp_path / "out"), **options)
    made, known = tmp_path / "out" / "fused.nii.gz", by_fuse(**options) / "fused.nii.gz"
    assert np.array_equal(_voxels(made), _voxels(known))
    assert np.array_equal(nib.load(made).affine, nib.load(known).affine)
    told = json.loads((tmp_path / "out" / "functional_registration.json").read_text())
    assert (told["method"], told["verdict"]) == ("none", "ok")
    assert told["quality"]["disagreement_mm"] is None


def test_the_command_line_of_the_readme_runs(files, configs, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", str(configs / "inference.json"), "--output_dir", str(out)]
    command += [f"--{role}={path}" for role, path in files.items()]
    done = subprocess.run([*command, "--register=none"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert load_volume(out / "fused.nii.gz").shape[0] == 3


def test_a_registration_judged_failed_stops_it_and_leaves_nothing(
    files, run_bundle, tmp_path, monkeypatch
):
    from refinefuse_med.registration import RegistrationResult

    failed = RegistrationResult("rigid", "failed", {}, np.eye(4), 0.0)
    monkeypatch.setattr("refinefuse_med.pipeline.registration.register", lambda *_, **__: failed)
    paths = {role: str(path) for role, path in files.items()}
    with pytest.raises(RuntimeError) as caught:
        run_bundle("inference", **paths, output_dir=str(tmp_path / "out"))
    causes, error = [], caught.value
    while error is not None:
        causes.append(str(error))
        error = error.__cause__
    assert any("the registration is judged failed" in text for text in causes)
    assert not (tmp_path / "out").exists()
