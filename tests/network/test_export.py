"""ONNX: what ONNX Runtime gives is what PyTorch gives. And no break in a compiled graph."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from refinefuse_med.cli.export import export
from refinefuse_med.errors import OutputError
from refinefuse_med.network import Architecture, RefineFuse
from refinefuse_med.network.export import TOLERANCE, export_onnx

SMALL = Architecture(widths=(4, 8, 8), heads=2, key_grid=4)


@pytest.fixture
def model() -> RefineFuse:
    torch.manual_seed(0)
    return RefineFuse(SMALL).eval().requires_grad_(False)


def test_onnx_gives_what_torch_gives_for_any_batch(model: RefineFuse, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "network.onnx"
    assert export_onnx(model, path, (30, 41)) <= TOLERANCE
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        a, f = torch.rand(2, batch, 1, 30, 41)
        fused = session.run(None, {"anatomical": a.numpy(), "functional": f.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(fused), model(a, f), atol=TOLERANCE, rtol=0)


def test_the_command_writes_the_shipped_network_and_overwrites_nothing(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    arguments = [str(tmp_path / "refinefuse.onnx"), "--size", "48", "64"]
    result = CliRunner().invoke(export, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[1:] == [], "the exporter's own remarks are kept back"
    assert [p.name for p in tmp_path.iterdir()] == ["refinefuse.onnx"]
    with pytest.raises(OutputError, match="exists already"):
        CliRunner().invoke(export, arguments, catch_exceptions=False)


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "no" / "x.onnx"), "--model", "nowhere"]
    with pytest.raises(OutputError, match=r"no: no folder that can be written; make it"):
        CliRunner().invoke(export, arguments, catch_exceptions=False)


@pytest.mark.parametrize("method", ["forward", "with_contribution"])
def test_the_network_compiles_without_a_break_in_its_graph(model: RefineFuse, method: str) -> None:
    plain = getattr(model, method)
    compiled = torch.compile(plain, fullgraph=True, backend="eager")
    a, f = torch.rand(2, 2, 1, 33, 48)
    torch.testing.assert_close(compiled(a, f), plain(a, f))
