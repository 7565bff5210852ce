"""MONAI's own checks and exports of the bundle, without a network."""

import json
import socket

import numpy as np
import pytest
import torch
from monai import bundle
from monai.networks.utils import copy_model_state

import refinefuse_med
from refinefuse_med.bundle import ROOT, StackedRefineFuse
from refinefuse_med.network import RefineFuse, weights_info


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the bundle reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(3, 2, 256, 256, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def told(configs, checkpoint):
    return {
        "ckpt_file": str(checkpoint),
        "config_file": str(configs / "inference.json"),
        "meta_file": str(configs / "metadata.json"),
    }


def test_the_metadata_holds_what_the_specification_asks_for(configs):
    metadata, schema = configs / "metadata.json", configs / "metadata.schema.json"
    bundle.verify_metadata(meta_file=str(metadata), filepath=str(schema))
    values = json.loads(metadata.read_text())
    assert values["version"] == weights_info().version
    assert values["required_packages_version"]["refinefuse-med"] == refinefuse_med.__version__


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("intended_use"),
        lambda values: values.update(data_type=["dicom"]),
        lambda values: values.update(eval_metrics="none"),
        lambda values: values["network_data_format"]["inputs"]["image"].pop("value_range"),
    ],
)
def test_metadata_that_lack_something_or_are_of_another_type_are_refused(configs, tmp_path, spoil):
    values = json.loads((configs / "metadata.json").read_text())
    spoil(values)
    spoilt = tmp_path / "metadata.json"
    spoilt.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="ailed validating"):
        bundle.verify_metadata(
            meta_file=str(spoilt), filepath=str(configs / "metadata.schema.json")
        )


def test_the_network_takes_and_gives_what_the_metadata_says(configs):
    bundle.verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
    )


def test_the_stacked_network_is_refinefuse(pictures):
    with torch.inference_mode():
        stacked = StackedRefineFuse()(pictures)
        assert torch.equal(stacked, RefineFuse.from_pretrained()(pictures[:, :1], pictures[:, 1:]))


def test_no_pickle_is_shipped_and_the_checkpoint_loads_without_code(checkpoint):
    assert not [path for path in ROOT.rglob("*") if path.suffix in (".pt", ".pth", ".pkl", ".ts")]
    state = torch.load(checkpoint, weights_only=True)
    _, changed, unchanged = copy_model_state(StackedRefineFuse(), state, inplace=False)
    assert len(changed) == len(state)
    assert not unchanged


@pytest.mark.filterwarnings("ignore")
def test_ckpt_export_writes_torchscript_of_the_same_values(told, configs, pictures, tmp_path):
    path = tmp_path / "model.ts"
    bundle.ckpt_export(args_file=str(configs / "ckpt_export.json"), filepath=str(path), **told)
    extra = {"metadata.json": ""}
    script = torch.jit.load(path, _extra_files=extra)
    assert json.loads(extra["metadata.json"])["intended_use"]
    network = StackedRefineFuse()
    with torch.inference_mode():
        for images in (pictures, pictures[:1, :, :181, :217]):
            torch.testing.assert_close(script(images), network(images), atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore")
def test_onnx_export_writes_onnx_of_the_same_values_for_any_batch(
    told, configs, pictures, tmp_path
):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    bundle.onnx_export(args_file=str(configs / "onnx_export.json"), filepath=str(path), **told)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    network = StackedRefineFuse()
    for images in (pictures, pictures[:1]):
        found = session.run(["pred"], {"image": images.numpy()})[0]
        with torch.inference_mode():
            expected = network(images).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_trt_export_runs_where_tensorrt_is(told, tmp_path):
    pytest.importorskip("torch_tensorrt")
    path = tmp_path / "model_trt.ts"
    bundle.trt_export(
        net_id="network_def", filepath=str(path), input_shape=[1, 2, 256, 256], **told
    )
    assert path.stat().st_size > 0
