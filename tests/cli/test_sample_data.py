"""``refinefuse sample-data``."""

from __future__ import annotations

import pydicom
from click.testing import CliRunner

from refinefuse_med.cli.main import cli
from refinefuse_med.sample.volumes import SCAN_FILES


def run(*arguments: object):
    return CliRunner().invoke(cli, ["sample-data", *map(str, arguments)])


def test_the_written_files_are_named_on_stdout(tmp_path):
    out = tmp_path / "sample"
    result = run(out)
    assert result.exit_code == 0
    expected = sorted([*SCAN_FILES.values(), "truth.json"])
    assert result.stdout.split() == [str(out / name) for name in expected]
    assert sorted(p.name for p in out.iterdir()) == expected


def test_a_study_bears_the_patient_asked_for(tmp_path):
    out = tmp_path / "sample"
    assert run(out, "--dicom", "--patient", "P7").exit_code == 0
    assert pydicom.dcmread(out / "NM" / "0001.dcm").PatientID == "P7"


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    assert run(tmp_path).exception
    assert run(tmp_path, "--if-exists", "skip").exit_code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_a_refused_request(tmp_path):
    assert run(tmp_path / "sample", "--patient", "P7").exception
    assert list(tmp_path.iterdir()) == []
