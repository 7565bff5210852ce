import json
import signal
import subprocess
import sys

import click
import pytest

from refinefuse_med.cli import main as entry
from refinefuse_med.cli.main import cli, main
from refinefuse_med.cli.options import monitor_of
from refinefuse_med.errors import GeometryError
from refinefuse_med.io import AtomicFolder

HEAVY = ("torch", "monai", "SimpleITK", "pydicom", "nibabel", "scipy", "matplotlib", "napari")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["inspect", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, json\n"
        "from refinefuse_med.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded.isdisjoint(HEAVY)


def _run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize("name", cli.list_commands(None))
def test_every_subcommand_has_help(name, capsys):
    status, printed = _run([name, "--help"], capsys)
    assert status == 0
    assert "Usage: refinefuse" in printed.out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["fuse"], ["fuse", "a", "b", "-o", "c", "--plane", "diagonal"]]
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    status, printed = _run(arguments, capsys)
    assert status == 2
    assert "Error" in printed.err


@pytest.mark.parametrize(
    ("extra", "said"),
    [(["--functional-window", "5"], "'5' is not LOW,HIGH; such as --functional-window 0,10"),
     (["--functional-window", "9,1"], "a window needs LOW < HIGH, not 9,1; see --help"),
     (["--functional-window", "0,inf"], "a window needs LOW < HIGH, not 0,inf; see --help"),
     (["--format", "png"], "unknown format 'png'; one of nifti, dicom, mha, nrrd"),
     (["--device", "toaster"], "'toaster' is not one of those it takes; see --help")],
)  # fmt: skip
def test_values_that_make_no_sense_end_with_2_in_one_line(extra, said, capsys, tmp_path):
    status, printed = _run(["fuse", "a", "b", "-o", str(tmp_path / "o"), *extra], capsys)
    assert status == 2
    assert printed.err == f"refinefuse: error: {extra[0]}: {said}\n"


def test_a_seed_below_zero_ends_with_2(capsys, tmp_path):
    status, printed = _run(["fuse", "a", "b", "-o", str(tmp_path / "o"), "--seed", "-1"], capsys)
    assert status == 2
    assert "Invalid value for '--seed'" in printed.err


@pytest.fixture
def failing(monkeypatch):
    def install(error):
        @click.command()
        @click.option("-v", "--verbose", is_flag=True)
        def broken(verbose):
            raise error

        monkeypatch.setattr(entry._LazyGroup, "get_command", lambda *_: broken)

    return install


def test_an_error_is_one_line_with_its_exit_status(failing, capsys):
    failing(GeometryError("two frames of reference", where="x.nii", hint="register"))
    status, printed = _run(["broken"], capsys)
    assert status == 4
    assert printed.err == "refinefuse: error: x.nii: two frames of reference; register\n"
    assert printed.out == ""


def test_an_unexpected_error_shows_a_traceback_only_when_asked(failing, capsys):
    failing(ZeroDivisionError("by\nzero"))
    status, printed = _run(["broken"], capsys)
    assert status == 1
    assert "unexpected ZeroDivisionError: by zero" in printed.err
    assert "Traceback" not in printed.err
    assert "Traceback" in _run(["broken", "-v"], capsys)[1].err


@pytest.mark.parametrize(
    ("number", "status", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")]
)
def test_signals_stop_all_threads_and_leave_nothing_unfinished(
    monkeypatch, tmp_path, capsys, number, status, said
):
    told = []

    @click.command()
    def work():
        with (
            AtomicFolder(tmp_path / "parent" / "out") as partial,
            monitor_of({"quiet": True, "no_progress": True, "log_json": False}) as monitor,
        ):
            (partial / "half").touch()
            try:
                signal.raise_signal(getattr(signal, number))
            finally:
                told.append(monitor.is_cancelled())

    monkeypatch.setattr(entry._LazyGroup, "get_command", lambda *_: work)
    before = signal.getsignal(signal.SIGTERM)
    ended, printed = _run(["work"], capsys)
    assert ended == status
    assert printed.err.split() == ["refinefuse:", said]
    assert told == [True]
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before
