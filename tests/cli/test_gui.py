"""``refinefuse gui`` starts napari in a process of its own, or says what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from refinefuse_med.cli import gui as module
from refinefuse_med.cli.main import main


@pytest.fixture
def started(monkeypatch):
    calls = []

    def run(command, check):
        calls.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(module.subprocess, "run", run)
    return calls


def status(*args):
    with pytest.raises(SystemExit) as ended:
        main(["gui", *map(str, args)])
    return ended.value.code


def test_the_panel_is_started_with_the_inputs(started, tmp_path):
    pytest.importorskip("napari")
    assert status(tmp_path, tmp_path) == 3
    assert started == [[sys.executable, "-m", "refinefuse_napari", str(tmp_path), str(tmp_path)]]


def test_without_napari_the_extra_is_named(started, monkeypatch, capsys):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert status() == 1
    assert 'pip install "refinefuse-med[napari]"' in capsys.readouterr().err
    assert not started


def test_without_a_qt_binding_one_is_named(started, monkeypatch, capsys):
    real = module.find_spec
    monkeypatch.setattr(
        module,
        "find_spec",
        lambda name: None if name in module._BINDINGS else (name == "napari" or real(name)),
    )
    assert status() == 1
    assert 'pip install "PySide6-Essentials' in capsys.readouterr().err.replace("\n", " ")
    assert not started


def test_an_input_that_is_not_there_is_said_before_anything_is_started(started, tmp_path, capsys):
    pytest.importorskip("napari")
    assert status(tmp_path / "absent") == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert not started


def test_help_loads_neither_napari_nor_torch():
    code = (
        "import sys\n"
        "from refinefuse_med.cli.main import main\n"
        "try:\n    main(['gui', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit(bool({'napari', 'torch', 'qtpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
