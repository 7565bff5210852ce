"""What a failure tells without telling whose scans they were."""

from dataclasses import replace
from pathlib import Path

import pytest

from refinefuse_med.batch.guard import guarded
from refinefuse_med.batch.job import Job
from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_med.errors import InputError

from . import light

FOLDER = Path("/archive/Doe_Jane")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InputError("no pixels", where="Jane_7.dcm"), "a file of functional: no pixels"),
        (InputError("no pixels", where=FOLDER / "pt"), "functional: no pixels"),
        (
            InputError("gone", where="x", hint=f"look for {FOLDER / 'pt' / 'Jane_7.dcm'}"),
            "x: gone; look for a file of functional",
        ),
    ],
)
def test_an_error_names_neither_folder_nor_file(tmp_path, error, told):
    def fail(monitor):
        raise error

    pair = light.pair(1)
    functional = replace(pair.functional, path=FOLDER / "pt", files=("Jane_6.dcm", "Jane_7.dcm"))
    pair = replace(pair, functional=functional)
    outcome = guarded(Job(pair, FusionConfig(), OutputConfig(), tmp_path), "fuse", fail)
    assert outcome.error == told
