import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from refinefuse_med.batch import watch
from refinefuse_med.batch.plan import make_plan
from refinefuse_med.batch.session import BatchOptions, run_batch
from refinefuse_med.cli.main import main
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.io import write_nifti
from refinefuse_med.sample import make_sample
from refinefuse_med.volume import like
from tests.io.corpus import Scan, make_slice, pet_tags

AS_IS = FusionConfig(registration=RegistrationConfig(method="none"))
ONE = BatchOptions(jobs=1)


@pytest.fixture
def archive(tmp_path, head_pair):
    """Two people: one whose pair can be fused, and one whose PET is not finite."""
    mr, pt = head_pair
    broken = pt.as_tensor().clone()
    broken[0, 5, 5, 5] = torch.nan
    root = tmp_path / "archive"
    for name, function in (("good", pt), ("Doe_Jane", like(pt, broken))):
        (root / name).mkdir(parents=True)
        write_nifti(mr, root / name / "mr.nii.gz")
        write_nifti(function, root / name / "pet.nii.gz")
    return root


def test_a_batch_fuses_what_it_can_and_tells_of_the_rest(archive, tmp_path):
    out = tmp_path / "out"
    result = run_batch(make_plan(archive), out, AS_IS, OutputConfig(report=True), ONE)
    assert sorted(outcome.status for outcome in result.outcomes) == ["done", "failed"]
    assert result.exit_status == 8
    (done,) = (outcome.name for outcome in result.outcomes if outcome.status == "done")
    assert {p.name for p in (out / done).iterdir()} >= {"fused.nii.gz", "report.html"}
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [".batch", done, "batch.json", "batch.csv", "index.html"]
    )
    record = json.loads((out / "batch.json").read_text())
    assert record["counts"] == {"done": 1, "failed": 1, "pending": 0}
    with (out / "batch.csv").open(newline="") as stream:
        rows = {row["status"]: row for row in csv.DictReader(stream)}
    assert rows["failed"]["error"].startswith("functional: ")
    assert "NaN" in rows["failed"]["error"]
    for name in ("batch.json", "batch.csv", "index.html"):
        assert "Doe" not in (out / name).read_text()

    (out / done / "mark").touch()
    again = run_batch(make_plan(archive), out, AS_IS, OutputConfig(report=True), ONE)
    assert [o.status for o in again.outcomes] == [o.status for o in result.outcomes]
    assert (out / done / "mark").exists()


def _slices(folder, scan, name):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(scan.slices):
        make_slice(scan, k).save_as(folder / name.format(k))


def test_a_batch_tells_of_damaged_files_beside_a_series_and_names_no_file(tmp_path, capsys):
    root, out = tmp_path / "archive", tmp_path / "out"
    for patient, said in (("A", {"ImagesInAcquisition": 5}), ("B", {})):
        for modality, tags in (("MR", {}), ("PT", pet_tags())):
            scan = Scan(modality, patient=patient, frame_of_reference_uid="1.2.4")
            scan.tags = {**tags, **said}
            _slices(root / patient, scan, f"Doe_Jane_{modality}_{{}}.dcm")
        (root / patient / "Doe_Jane_last.dcm").touch()
    plan = make_plan(root)
    assert {item.where for item in plan.left_out if item.modality} == {"Doe_Jane_last.dcm"}
    with pytest.raises(SystemExit):
        main(["batch", str(root), "-o", str(out), "--dry-run"])
    assert capsys.readouterr().out.count("1 file beside it damaged") == 2
    result = run_batch(plan, out, AS_IS, OutputConfig(report=True), ONE)

    (outcome,) = result.outcomes
    warning = "1 file beside it damaged: the series is whole without, by the 5 images"
    for role in ("anatomical", "functional"):
        assert sum(text.startswith(f"{role}: {warning}") for text in outcome.warnings) == 1
    record = json.loads((out / "batch.json").read_text())
    assert record["pairs"][0]["warnings"] == list(outcome.warnings)
    reasons = {item["reason"].split(",")[0] for item in record["left_out"]}
    assert reasons == {"empty file (0 bytes)", "a damaged file lies among the slices"}
    assert warning in (out / outcome.name / "result.json").read_text()
    for path in out.rglob("*"):
        assert path.is_dir() or b"Doe_Jane" not in path.read_bytes()


def _command(archive, out):
    code = "from refinefuse_med.cli.main import main; main()"
    options = ["--register", "none", "--jobs", "1", "--no-preview", "--no-report"]
    options += ["--format", "nifti,dicom"]
    return [sys.executable, "-c", code, "batch", str(archive), "-o", str(out), *options]


def _bytes_of(out):
    """Every file that is not hidden, without the times it took."""
    return {
        path.relative_to(out).as_posix(): re.sub(rb'seconds": [0-9.e-]+', b"", path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".batch" not in path.parts and path.suffix not in (".csv", ".html")
    }


def test_a_killed_run_shows_nothing_partial_and_goes_on_to_the_same_bytes(
    archive, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # DICOM objects are dated
    (archive / "Doe_Jane" / "pet.nii.gz").write_bytes((archive / "good/pet.nii.gz").read_bytes())
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(_command(archive, whole), check=True, capture_output=True)
    names = {p.name for p in whole.iterdir()}

    run = subprocess.Popen(_command(archive, cut), stderr=subprocess.DEVNULL)
    work = cut / ".batch" / "work"
    deadline = time.monotonic() + 300
    while not list(work.glob("*/*/MR-PT-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert {p.name for p in cut.iterdir()} <= names
    for folder in cut.glob("MR-PT-*"):
        assert (folder / "result.json").is_file()

    subprocess.run(_command(archive, cut), check=True, capture_output=True)
    assert _bytes_of(cut) == _bytes_of(whole)
    assert sum(name.endswith(".dcm") for name in _bytes_of(cut)) > 4


def test_a_script_without_a_guard_is_told_so_and_not_run_again_and_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""
print("begun", flush=True)
from pathlib import Path
from dataclasses import replace
from refinefuse_med.batch.estimate import Estimate
from refinefuse_med.batch.plan import BatchPlan
from refinefuse_med.batch.session import BatchOptions, run_batch
from refinefuse_med.config import FusionConfig, OutputConfig
from tests.batch import light

pair = replace(light.pair(1), estimate=Estimate(500, 1))
plan = BatchPlan(Path(), (pair,), ())
out = Path({str(tmp_path / "out")!r})
run_batch(plan, out, FusionConfig(), OutputConfig(), BatchOptions(jobs=1))
print("over", flush=True)
""")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environ)
    assert ended.stdout.split() == ["begun", "begun"]  # by the user, and by the worker
    assert ended.returncode
    assert ended.stderr.count("Traceback") == 1
    assert ended.stderr.splitlines()[-1].endswith('call it below: if __name__ == "__main__":')


def test_a_dry_run_prints_the_plan_and_writes_nothing(archive, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(out), "--dry-run", "--json"])
    assert ended.value.code == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 2
    assert not out.exists()


@pytest.mark.parametrize("name", ["[red]x[red]\x1b[31m", "[bold] Doe"])
def test_a_dry_run_shows_odd_names_as_they_are(archive, tmp_path, capsys, name):
    (archive / name).mkdir()
    (archive / name / "notes.txt").write_text("x")
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(tmp_path / "out"), "--dry-run"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert name.split("\x1b")[0] in said
    assert "\x1b[31m" not in said


def test_a_folder_without_pairs_ends_with_3(archive, tmp_path, capsys):
    for path in archive.rglob("pet.nii.gz"):
        path.unlink()
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(tmp_path / "out")])
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


def _bad_tree(kind, root):
    root.mkdir()
    if kind == "empty":
        return
    if kind == "junk":
        for number in range(1000):
            (root / f"<script>{number};.. .dcm").write_bytes(bytes([number % 256]) * number)
    if kind == "loop":
        (root / "again").symlink_to(root)
        (root / "nowhere").symlink_to(root / "gone")
    if kind == "half-written":
        make_sample(root / "study", dicom=True)
        for path in (root / "study" / "MR").iterdir():
            path.write_bytes(path.read_bytes()[:-1000])
        for name in ("CT", "NM"):
            shutil.rmtree(root / "study" / name)


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("empty", 1, "the folder is empty"),
        ("junk", 3, "no pair among 0 series"),
        ("loop", 3, "no pair among 0 series"),
        ("half-written", 3, "no pair among 2 series, 1 of them usable"),
    ],
)
def test_a_bad_tree_ends_with_one_line_and_no_output(tmp_path, capsys, kind, status, said):
    _bad_tree(kind, tmp_path / "tree")
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(tmp_path / "tree"), "-o", str(tmp_path / "out")])
    assert ended.value.code == status
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_ctrl_c_while_nothing_has_arrived_ends_the_watch_and_names_no_page(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(watch.time, "sleep", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--watch"])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.out == "0 of 0 pairs done\n"
    assert said.err.splitlines()[-1] == "WARNING stopping; no pair is in work"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--shard", "3/2"], 2),
        (["--model", "nowhere.safetensors"], 5),
        (["--scheduler", "tcp://127.0.0.1:1"], 1),
    ],
)
def test_what_cannot_be_begun_ends_with_one_line(archive, tmp_path, capsys, options, status):
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(tmp_path / "out"), *options])
    assert ended.value.code == status
    assert capsys.readouterr().err.count("\n") == 1
