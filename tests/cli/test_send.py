"""``refinefuse send`` as a user calls it."""

from __future__ import annotations

import json

import pytest

from refinefuse_med.cli.main import main
from tests.io.pacs.conftest import *  # noqa: F403  # the archives
from tests.io.pacs.conftest import free_port


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["send", *map(str, arguments)])
    return ended.value.code, capsys.readouterr()


def test_it_tells_what_became_of_each_file(study, archive, capsys):
    status, printed = _run(capsys, study, "--to", archive.address, "--json")
    assert status == 0
    files = json.loads(printed.out)["files"]
    assert len(files) == len(list(study.rglob("*.dcm")))
    assert {file["status"] for file in files} == {"stored"}
    assert "Doe" not in printed.out + printed.err


def test_some_failed_is_8_and_all_failed_is_1(study, archive, capsys):
    folder = study / "slices" / "fused"
    archive.answers = [0xC000]
    status, printed = _run(capsys, folder, "--to", archive.address)
    assert status == 8
    assert "0001.dcm: status 0xC000" in printed.err
    archive.answers = [0xC000] * 6
    status, printed = _run(capsys, folder, "--to", archive.address)
    assert status == 1
    assert "none of 6 files was stored" in printed.err


def test_faults_are_one_line(study, tmp_path, capsys):
    gone = f"ARCHIVE@127.0.0.1:{free_port()}"
    (tmp_path / "empty").mkdir()
    for arguments, code, said in (
        ((study, "--to", gone), 1, "cannot be reached"),
        ((study,), 2, "either --to or --dicomweb"),
        ((study, "--to", "nonsense"), 2, "AET@HOST:PORT"),
        ((tmp_path / "absent", "--to", gone), 1, "no such file"),
        ((tmp_path / "empty", "--to", gone), 1, "no DICOM file to send"),
    ):
        status, printed = _run(capsys, *arguments)
        assert status == code
        assert said in printed.err
        assert printed.err.count("\n") == 1
