import os
import subprocess
import sys

import pytest

from refinefuse_med.batch import scan
from refinefuse_med.batch.scan import scan_tree
from refinefuse_med.errors import InputError
from refinefuse_med.io import inspect_path
from refinefuse_med.sample import make_sample
from tests.io.corpus import Scan as Corpus
from tests.io.corpus import write_scan


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The sample study, one of its series spread over two folders, and what else lies about."""
    root = tmp_path_factory.mktemp("scan") / "archive"
    root.mkdir()
    make_sample(root / "study", dicom=True)
    (root / "more").mkdir()
    for slice_ in sorted((root / "study" / "MR").iterdir())[::2]:
        slice_.rename(root / "more" / slice_.name)
    (root / "junk").mkdir()
    (root / "junk" / "<script>alert(1)").write_text("x")
    (root / "junk" / "loop").symlink_to(root)
    (root / "junk" / "nowhere").symlink_to(root / "gone")
    return root


def _seen(found):
    series = sorted((e.series_instance_uid, e.files, e.shape, e.usable) for e in found.series)
    return series, [(item.name, item.reason) for item in found.skipped]


def test_a_tree_read_folder_by_folder_gives_what_it_gives_at_once(archive):
    assert _seen(scan_tree(archive)) == _seen(inspect_path(archive))


def test_and_so_it_does_in_several_processes(archive, monkeypatch):
    monkeypatch.setattr(scan, "CHUNK_FILES", 60)
    assert _seen(scan_tree(archive)) == _seen(inspect_path(archive))


def test_an_unguarded_script_is_not_run_again(archive, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from refinefuse_med.batch import scan\n"
        "scan.CHUNK_FILES = 60\n"
        "print('run')\n"
        f"print(len(scan.scan_tree(Path({str(archive)!r})).series))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["run", str(len(inspect_path(archive).series))]


def test_a_series_with_a_gap_is_usable_where_gaps_are_allowed(tmp_path):
    write_scan(tmp_path, Corpus(slices=8))[3].unlink()
    assert not scan_tree(tmp_path).series[0].usable
    (entry,) = scan_tree(tmp_path, allow_gaps=True).series
    assert entry.usable
    assert entry.shape[2] == 8


def test_an_excluded_folder_is_not_looked_at(archive, tmp_path):
    (tmp_path / "link").symlink_to(archive)
    found = scan_tree(archive, exclude=[tmp_path / "link" / "study", tmp_path])
    assert {item.name.split("/")[0] for item in found.skipped} == {"junk"}
    assert {entry.path for entry in found.series} == {"more"}


def test_a_folder_without_permission_is_accounted_for(archive, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "junk":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert ("junk", "no permission to read the folder") in _seen(scan_tree(archive))[1]


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        scan_tree(tmp_path / "empty")
