"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from refinefuse_med.errors import OutputError
from refinefuse_med.io.atomic import AtomicFolder, atomic_file


def _interrupted(target: Path, error: type[BaseException]) -> None:
    target.write_text("half")
    raise error


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folder_appears_only_when_complete(tmp_path):
    out = tmp_path / "out"
    with AtomicFolder(out) as partial:
        (partial / "a.txt").write_text("a")
        assert not out.exists()
    assert _names(tmp_path) == ["out"]
    assert (out / "a.txt").read_text() == "a"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_a_failure_nor_the_parents_made_for_it(tmp_path, error):
    with pytest.raises(error), AtomicFolder(tmp_path / "a" / "b" / "out") as partial:
        _interrupted(partial / "half.txt", error)
    assert _names(tmp_path) == []


def test_parents_that_were_there_stay_after_a_failure(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="x"), AtomicFolder(tmp_path / "a" / "b" / "out"):
        raise ValueError("x")
    assert _names(tmp_path) == ["a"]


def test_existing_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="already exists") as caught:
        AtomicFolder(tmp_path).check()
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="already exists"), AtomicFolder(tmp_path):
        pytest.fail("the body must not run")


def test_skip_tells_the_caller_that_there_is_nothing_to_do(tmp_path):
    assert AtomicFolder(tmp_path, "skip").check() is False
    assert AtomicFolder(tmp_path / "new", "skip").check() is True


def test_overwrite_replaces_the_whole_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    with AtomicFolder(out, "overwrite") as partial:
        (partial / "new.txt").write_text("new")
        assert _names(out) == ["old.txt"]
    assert _names(out) == ["new.txt"]
    assert _names(tmp_path) == ["out"]


def test_failed_overwrite_leaves_the_old_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    with pytest.raises(ValueError, match="x"), AtomicFolder(out, "overwrite"):
        raise ValueError("x")
    assert _names(out) == ["old.txt"]
    assert _names(tmp_path) == ["out"]


def test_old_folder_comes_back_where_the_last_rename_fails(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    rename = Path.rename

    def failing(self, target):
        if (self / "new.txt").exists():
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError), AtomicFolder(out, "overwrite") as partial:
        (partial / "new.txt").write_text("new")
    assert _names(out) == ["old.txt"]
    assert _names(tmp_path) == ["out"]


def test_overwrite_refuses_a_folder_that_holds_an_input(tmp_path):
    scan = tmp_path / "study" / "pet"
    scan.mkdir(parents=True)
    with pytest.raises(OutputError, match="will not be replaced"):
        AtomicFolder(tmp_path / "study", "overwrite", inputs=[scan]).check()


@pytest.mark.parametrize("if_exists", ["fail", "skip", "overwrite"])
def test_parent_that_is_a_file_is_refused(tmp_path, if_exists):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        AtomicFolder(tmp_path / "file" / "deep" / "out", if_exists).check()


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        AtomicFolder(tmp_path / "file", "overwrite").check()


def test_unwritable_parent_is_refused(tmp_path, monkeypatch):
    # access() is also what tells root of a read-only file system.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission"):
        AtomicFolder(tmp_path / "out").check()


def test_full_disk_is_told_in_one_line(tmp_path):
    with pytest.raises(OutputError, match="disk is full") as caught, AtomicFolder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(caught.value)
    assert _names(tmp_path) == []


def test_missing_input_is_not_taken_for_a_fault_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), AtomicFolder(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()


def test_link_to_a_folder_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real", target_is_directory=True)
    with AtomicFolder(link, "overwrite") as partial:
        (partial / "new.txt").write_text("new")
    assert link.is_symlink()
    assert _names(tmp_path / "real") == ["new.txt"]


def test_file_keeps_its_old_content_after_a_failure(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as partial:
        _interrupted(partial, KeyboardInterrupt)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.json"]


def test_file_in_a_missing_folder_is_told_in_one_line(tmp_path):
    path = tmp_path / "absent" / "a.json"
    with pytest.raises(OutputError, match=r"a\.json"), atomic_file(path) as partial:
        partial.write_text("x")


def test_each_file_is_flushed_to_the_disk_once(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    with AtomicFolder(tmp_path / "out") as folder, atomic_file(folder / "a.txt") as partial:
        partial.write_text("a")
    assert len(flushed) == 1
    with atomic_file(tmp_path / "b.txt") as partial:
        partial.write_text("b")
    assert len(flushed) == 2


def test_what_pydicom_wraps_is_told_in_one_line(tmp_path):
    def wrapped(partial):
        partial.write_text("half")
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OSError(f"With tag (7FE0,0010) got exception: {error}\nTraceback ...") from error

    with (
        pytest.raises(OutputError, match="disk is full") as caught,
        atomic_file(tmp_path / "a.dcm") as partial,
    ):
        wrapped(partial)
    assert "\n" not in str(caught.value)
    assert _names(tmp_path) == []


def test_a_full_disk_names_the_folder_and_no_unfinished_file(tmp_path):
    out = tmp_path / "out"
    with (
        pytest.raises(OutputError) as caught,
        AtomicFolder(out) as partial,
        atomic_file(partial / "fused.nii.gz"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.where == str(out)
    assert str(caught.value).startswith(f"{out}: the disk is full; ")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_system_is_told_though_nothing_can_be_cleared_there(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(OutputError, match=r"x\.onnx: the file system is read-only; write elsewhere"),
        atomic_file(tmp_path / "x.onnx"),
    ):
        refuse()
