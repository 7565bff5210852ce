"""``refinefuse evaluate``."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from refinefuse_med.cli.main import main


@pytest.fixture
def pictures(tmp_path):
    draw = np.random.default_rng(0)
    for folder, shape in (("mri", (44, 50)), ("pet", (44, 50, 3)), ("fused", (44, 50, 3))):
        (tmp_path / folder).mkdir()
        for name in ("1.png", "2.png"):
            picture = draw.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / name)
    return tmp_path


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments), "--jobs", "1"])
    return int(ended.value.code or 0)


def _folders(pictures):
    return [pictures / name for name in ("mri", "pet", "fused")]


def test_the_record_is_printed_and_the_table_written(pictures, capsys):
    table = pictures / "slices.csv"
    assert _run(*_folders(pictures), "--json", "--csv", table) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == 1
    assert [entry["stem"] for entry in record["slices"]] == ["1", "2"]
    assert list(record["mean"]) == list(record["slices"][0]["metrics"])
    header, *rows = table.read_text().splitlines()
    assert header.split(",") == ["stem", *record["mean"]]
    assert len(rows) == 2


def test_the_means_are_shown_as_a_table(pictures, capsys):
    assert _run(*_folders(pictures)) == 0
    printed = capsys.readouterr().out
    for name, better in (("SSIM", "higher"), ("CIEDE2000", "lower")):
        (line,) = (line for line in printed.splitlines() if name in line)
        assert better in line


def test_unmatched_files_are_warned_of_on_stderr(pictures, capsys):
    (pictures / "fused" / "2.png").unlink()
    assert _run(*_folders(pictures), "--log-json") == 0
    printed = capsys.readouterr()
    assert printed.err.count("no partner for 2.png") == 2
    assert "no partner" not in printed.out


def test_no_match_ends_with_3(pictures, capsys):
    (pictures / "none").mkdir()
    assert _run(pictures / "mri", pictures / "pet", pictures / "none") == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_nothing_heavy_is_imported(pictures):
    # Each process that measures would pay for it again.
    code = (
        "import sys\n"
        "from refinefuse_med.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'pydicom'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "evaluate", *map(str, _folders(pictures))]
    done = subprocess.run([*command, "--jobs", "1"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
