"""``refinefuse fuse-slices``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from refinefuse_med.cli.main import main
from refinefuse_med.network import RefineFuse, save_pretrained


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    return save_pretrained(
        RefineFuse(), folder, name="untrained", version="0", licence="none", training={}
    )


@pytest.fixture
def pictures(tmp_path):
    draw = np.random.default_rng(0)
    for folder, shape in (("mri", (24, 30)), ("pet", (24, 30, 3))):
        (tmp_path / folder).mkdir()
        for name in ("1.png", "2.png"):
            picture = draw.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / name)
    return tmp_path


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["fuse-slices", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_slices_are_fused_and_the_record_printed(pictures, weights, capsys):
    out = pictures / "out"
    status = _run(pictures / "mri", pictures / "pet", "-o", out, "--model", weights.path, "--json")
    assert status == 0
    record = json.loads(capsys.readouterr().out)
    assert record["outputs"] == sorted(p.name for p in out.iterdir()) == ["1.png", "2.png"]
    assert record["fusion"]["model"] == "untrained"
    assert record["fusion"]["weights_sha256"] == weights.sha256
    with Image.open(out / "1.png") as image:
        assert (image.mode, image.size) == ("RGB", (30, 24))


def test_an_existing_output_is_skipped_on_request(pictures, weights):
    out = pictures / "out"
    out.mkdir()
    arguments = (pictures / "mri", pictures / "pet", "-o", out, "--model", weights.path)
    assert _run(*arguments) == 1
    assert _run(*arguments, "--if-exists", "skip") == 0
    assert not list(out.iterdir())


def test_no_pair_ends_with_3(pictures, weights, capsys):
    (pictures / "none").mkdir()
    status = _run(
        pictures / "mri", pictures / "none", "-o", pictures / "out", "--model", weights.path
    )
    assert status == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_missing_weights_end_with_5(pictures):
    status = _run(
        pictures / "mri", pictures / "pet", "-o", pictures / "out", "--model", pictures / "no.w"
    )
    assert status == 5


@pytest.mark.parametrize(("device", "status"), [("gpu", 2), ("cuda:31", 1)])
def test_a_wrong_device_is_refused(pictures, weights, device, status):
    if torch.cuda.device_count() > 31:
        pytest.skip("this machine has that many GPUs")
    out = pictures / "out"
    arguments = (pictures / "mri", pictures / "pet", "-o", out, "--model", weights.path)
    assert _run(*arguments, "--device", device) == status
    assert not out.exists()


def test_local_contrast_is_mixed_in_and_told(pictures, weights, capsys):
    paths = (pictures / "mri", pictures / "pet", "--model", weights.path, "--luminance", "--json")
    made = []
    for amount in ("0", "1"):
        out = pictures / f"out{amount}"
        assert _run(*paths, "-o", out, "--local-contrast", amount) == 0
        told = json.loads(capsys.readouterr().out)["fusion"]["local_contrast"]
        with Image.open(out / "1.png") as image:
            made.append((told, np.asarray(image)))
    (none, plain), (all_of_it, mixed) = made
    assert (none, all_of_it) == (0, 1)
    assert (plain != mixed).any()
    assert _run(*paths, "-o", pictures / "no", "--local-contrast", "1.5") == 2
    assert not (pictures / "no").exists()
