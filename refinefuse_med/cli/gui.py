"""``refinefuse gui``: napari with the panel, and the inputs as layers."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from refinefuse_med.errors import InputError, MissingExtraError

__all__ = ["gui"]

_BINDINGS = ("PySide6", "PyQt6", "PyQt5", "PySide2")
_ADVISED = '"PySide6-Essentials!=6.12.0"'
"""That version loses a reference to None at each call: with Python 3.11 napari crashes at last."""


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
def gui(inputs: tuple[Path, ...]) -> int:
    """Open napari with the RefineFuse panel, and INPUTS as layers.

    Each of INPUTS is a DICOM folder, a NIfTI file, one DICOM file, or a zip of a folder. Needs
    the extra napari and a Qt binding: pip install "refinefuse-med[napari]" PySide6-Essentials
    """
    _require_window()
    for path in inputs:
        if not path.exists():
            raise InputError("no such file or folder", where=path)
    # The panel knows this package, and this package not the panel: it is started, not imported.
    command = [sys.executable, "-m", "refinefuse_napari", *map(str, inputs)]
    return subprocess.run(command, check=False).returncode


def _require_window() -> None:
    if find_spec("napari") is None or find_spec("refinefuse_napari") is None:
        raise MissingExtraError(
            "the window needs napari, which is not installed",
            hint=f'pip install "refinefuse-med[napari]" {_ADVISED}',
        )
    if not any(find_spec(name) for name in _BINDINGS):
        raise MissingExtraError("napari has no Qt binding here", hint=f"pip install {_ADVISED}")
