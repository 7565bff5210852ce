"""Weights: written, checked, loaded; and refused in one line where anything is off."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from refinefuse_med.errors import ModelError
from refinefuse_med.network import Architecture, RefineFuse, save_pretrained, weights_info

SMALL = Architecture(widths=(4, 8, 8), heads=2, key_grid=4)


@pytest.fixture
def model() -> RefineFuse:
    torch.manual_seed(0)
    return RefineFuse(SMALL).eval()


@pytest.fixture
def weights(model: RefineFuse, tmp_path: Path) -> Path:
    info = save_pretrained(model, tmp_path, name="tiny", version="1", licence="test", training={})
    return info.path


def refusal(path: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        RefineFuse.from_pretrained(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_weights_come_back_as_they_were(model: RefineFuse, weights: Path) -> None:
    loaded = RefineFuse.from_pretrained(weights)
    a, f = torch.rand(2, 1, 1, 20, 20)
    assert loaded.architecture == SMALL
    assert not loaded.training
    torch.testing.assert_close(loaded(a, f), model(a, f), rtol=0, atol=1e-6)


def test_the_manifest_says_what_the_weights_are(weights: Path) -> None:
    info = weights_info(str(weights))
    loaded = RefineFuse.from_pretrained(weights)
    assert loaded.weights_info() == {"name": "tiny", "sha256": info.sha256}
    assert (info.name, info.version, info.architecture) == ("tiny", "1", SMALL)
    assert len(info.sha256) == 64


def test_weights_changed_by_one_bit_are_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "SHA-256" in refusal(weights)


def test_truncated_weights_are_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:100])
    assert "damaged" in refusal(weights)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    assert "no such weights" in refusal(tmp_path / "none.safetensors")
    assert "no such weights" in refusal("no-such-name")


def test_weights_without_a_manifest_are_refused(weights: Path) -> None:
    weights.with_suffix(".json").unlink()
    assert "manifest" in refusal(weights)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 1, "network": "another"}'])
def test_another_manifest_is_refused(weights: Path, content: str) -> None:
    weights.with_suffix(".json").write_text(content)
    assert "manifest" in refusal(weights)


def test_weights_of_another_architecture_are_refused(weights: Path) -> None:
    path = weights.with_suffix(".json")
    manifest = json.loads(path.read_text())
    manifest["architecture"]["widths"] = [4, 8, 12]
    path.write_text(json.dumps(manifest))
    assert "not those of this network" in refusal(weights)


def test_a_pickle_is_never_opened(weights: Path) -> None:
    import hashlib

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("a pickle was opened",))

    content = pickle.dumps(Trap())
    weights.write_bytes(content)
    path = weights.with_suffix(".json")
    manifest = json.loads(path.read_text())
    manifest["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))
    assert "not those of this network" in refusal(weights)
