"""What is found to send."""

from __future__ import annotations

import shutil

import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io.pacs.outbox import outbox


def test_only_dicom_files_are_sent_and_none_that_is_being_written(study, tmp_path):
    shutil.copytree(study / "slices", tmp_path / "out")
    shutil.copytree(study / "slices", tmp_path / ".refinefuse-partial-0123")
    (tmp_path / "out" / "result.json").write_text("{}")
    (tmp_path / "out" / "empty.dcm").write_bytes(b"")
    letters = outbox(tmp_path)
    assert len(letters) == len(list((study / "slices").rglob("*.dcm")))
    assert all(letter.name.startswith("out/") for letter in letters)


def test_one_file_is_enough(study):
    (letter,) = outbox(study / "slices" / "registration.dcm")
    assert letter.name == "registration.dcm"


def test_nothing_to_send_is_told(tmp_path):
    with pytest.raises(InputError, match="no DICOM file to send"):
        outbox(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        outbox(tmp_path / "absent")
