import csv
import json

import pytest
import torch

from refinefuse_med.batch.plan import make_plan
from refinefuse_med.batch.run import BatchResult, PairResult, run_plan
from refinefuse_med.cli.main import main
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.io import write_nifti
from refinefuse_med.volume import like

AS_IS = FusionConfig(registration=RegistrationConfig(method="none"))


@pytest.fixture
def archive(tmp_path, head_pair):
    """Two people: one whose pair can be fused, and one whose PET is not finite."""
    mr, pt = head_pair
    broken = pt.as_tensor().clone()
    broken[0, 5, 5, 5] = torch.nan
    root = tmp_path / "archive"
    for name, function in (("good", pt), ("bad", like(pt, broken))):
        (root / name).mkdir(parents=True)
        write_nifti(mr, root / name / "mr.nii.gz")
        write_nifti(function, root / name / "pet.nii.gz")
    return root


def test_a_pair_that_fails_costs_only_itself(archive, tmp_path):
    out = tmp_path / "out"
    result = run_plan(make_plan(archive), out, AS_IS, OutputConfig())
    assert sorted(pair.status for pair in result.pairs) == ["done", "failed"]
    assert result.exit_status == 8
    (done,) = (pair for pair in result.pairs if pair.status == "done")
    assert (out / done.out / "fused.nii.gz").is_file()
    assert sorted(p.name for p in out.iterdir()) == sorted([done.out, "batch.json", "batch.csv"])
    record = json.loads((out / "batch.json").read_text())
    assert [pair["status"] for pair in record["pairs"]] == [p.status for p in result.pairs]
    with (out / "batch.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert "NaN" in next(row["error"] for row in rows if row["status"] == "failed")


def test_what_is_done_is_skipped_when_the_batch_goes_on(archive, tmp_path):
    plan, out = make_plan(archive), tmp_path / "out"
    run_plan(plan, out, AS_IS, OutputConfig())
    again = run_plan(plan, out, AS_IS, OutputConfig(if_exists="skip"))
    assert sorted(pair.status for pair in again.pairs) == ["failed", "skipped"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([0, 0], 0), ([0, 4], 8), ([4, 4], 4), ([4, 1], 1), ([5], 5)],
)
def test_exit_status_tells_all_some_or_none(statuses, expected):
    pairs = tuple(
        PairResult(str(n), "failed" if status else "done", exit_status=status)
        for n, status in enumerate(statuses)
    )
    assert BatchResult(pairs).exit_status == expected


def test_a_dry_run_prints_the_plan_and_writes_nothing(archive, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(out), "--dry-run", "--json"])
    assert ended.value.code == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 2
    assert not out.exists()


def test_a_folder_without_pairs_ends_with_3(archive, tmp_path, capsys):
    for path in archive.rglob("pet.nii.gz"):
        path.unlink()
    with pytest.raises(SystemExit) as ended:
        main(["batch", str(archive), "-o", str(tmp_path / "out")])
    assert ended.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1
