"""``refinefuse register``: starts, landmarks, known transforms, and what it says of bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from refinefuse_med.cli.main import main
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.io import write_nifti, write_transform
from refinefuse_med.volume import affine_ras, make_volume
from tests.conftest import oblique_affine, phantom

TRUTH = np.eye(4)
TRUTH[:3, :3] = Rotation.from_euler("xyz", (4, -6, 168), degrees=True).as_matrix()
TRUTH[:3, 3] = (12, -31, 420)
"""Fixed to moving, LPS mm: far away and all but turned round."""

POINTS_LPS = np.array([[0, -80, 0], [65, 0, 5], [-65, 4, 0], [0, 10, 58], [3, 80, -8.0]])


def mapped(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.fixture(scope="module")
def scans(tmp_path_factory, head_pair):
    """MR; PET of the same head whose header was moved by TRUTH; labels on the PET's grid."""
    folder = tmp_path_factory.mktemp("scans")
    mr, pet = head_pair
    moved = LPS_FROM_RAS @ TRUTH @ LPS_FROM_RAS @ affine_ras(pet)
    write_nifti(mr, folder / "mr.nii.gz")
    write_nifti(make_volume(pet.as_tensor(), moved, modality="PT"), folder / "pet.nii.gz")
    labels = np.digitize(pet.as_tensor()[0].numpy(), (1, 4, 8)).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels * 40, moved), folder / "labels.nii.gz")
    write_transform(TRUTH, folder / "truth.tfm")
    for name, points in (("mr", POINTS_LPS), ("pet", mapped(TRUTH, POINTS_LPS))):
        rows = [f"p{n},{x},{y},{z}" for n, (x, y, z) in enumerate(points.tolist())]
        (folder / f"{name}.csv").write_text("label,l,p,s\n" + "\n".join(rows))
    return folder


def _run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr()


def _register(scans, out, capsys, *options):
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz"]
    status, printed = _run(["register", *pair, "-o", out, "--json", *options], capsys)
    assert status == 0, printed.err
    return json.loads(printed.out)


def _error_mm(record):
    found = np.array(record["registration"]["matrix_fixed_to_moving_lps"])
    apart = mapped(found, POINTS_LPS) - mapped(TRUTH, POINTS_LPS)
    return np.linalg.norm(apart, axis=1).max()


def test_it_starts_from_a_transform_file(scans, tmp_path, capsys):
    near = TRUTH.copy()
    near[:3, 3] += (6, -5, 4)
    write_transform(near, tmp_path / "near.tfm")
    record = _register(scans, tmp_path / "out", capsys, "--init", tmp_path / "near.tfm")
    assert _error_mm(record) < 1.5
    assert record["registration"]["method"] == "rigid"
    assert record["registration"]["start"] == "given"


def test_landmarks_alone_are_a_registration(scans, tmp_path, capsys):
    points = ["--landmarks", scans / "mr.csv", scans / "pet.csv"]
    record = _register(scans, tmp_path / "out", capsys, *points, "--method", "landmarks")
    assert _error_mm(record) < 1e-6
    assert record["registration"]["method"] == "landmarks"
    assert record["registration"]["verdict"] == "ok"
    assert record["landmarks"]["fre_mm"] == 0
    assert [each["label"] for each in record["landmarks"]["points"]] == [f"p{n}" for n in range(5)]
    transform = sitk.ReadTransform(str(tmp_path / "out" / "transform.tfm"))
    np.testing.assert_allclose(
        transform.TransformPoint(POINTS_LPS[1].tolist()), mapped(TRUTH, POINTS_LPS)[1], atol=1e-6
    )


def test_landmarks_are_a_start_and_bad_ones_are_told(scans, tmp_path, capsys):
    rows = (scans / "pet.csv").read_text().splitlines()
    rows[2] = "p1," + ",".join(str(v) for v in mapped(TRUTH, POINTS_LPS)[1] + (9, 0, 0))
    (tmp_path / "off.csv").write_text("\n".join(rows))
    points = ["--landmarks", scans / "mr.csv", tmp_path / "off.csv"]
    record = _register(scans, tmp_path / "out", capsys, *points)
    assert record["registration"]["method"] == "rigid"
    assert _error_mm(record) < 1.5
    residuals = [each["residual_mm"] for each in record["landmarks"]["points"]]
    assert np.argmax(residuals) == 1
    assert record["landmarks"]["fre_mm"] > 1


def test_a_saved_transform_takes_volumes_and_labels_along(scans, tmp_path, capsys):
    made = [scans / "mr.nii.gz", scans / "pet.nii.gz", scans / "labels.nii.gz"]
    apply = ["--apply", scans / "truth.tfm", "--json"]
    status, printed = _run(["register", *made, "-o", tmp_path / "out", *apply], capsys)
    assert status == 0, printed.err
    record = json.loads(printed.out)
    assert record["outputs"] == ["labels_registered.nii.gz", "pet_registered.nii.gz", "result.json"]
    assert record["applied"]["moving"]["interpolation"] == "linear"
    assert record["applied"]["moving_2"]["interpolation"] == "nearest"
    np.testing.assert_allclose(record["registration"]["matrix_fixed_to_moving_lps"], TRUTH)
    fixed = nib.load(scans / "mr.nii.gz")
    for name in ("pet", "labels"):
        brought = nib.load(tmp_path / "out" / f"{name}_registered.nii.gz")
        np.testing.assert_allclose(brought.affine, fixed.affine, atol=1e-4)
    labels = np.asarray(nib.load(tmp_path / "out" / "labels_registered.nii.gz").dataobj)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 40, 80, 120}
    # Known truth: what the phantom holds at the fixed voxels, away from its edges.
    exact = phantom(fixed.affine, fixed.shape, "PT")
    inside = np.digitize(exact, (1, 4, 8)) * 40 == labels
    assert inside.mean() > 0.97
    pet = nib.load(tmp_path / "out" / "pet_registered.nii.gz").get_fdata()
    assert np.abs(pet - exact).mean() < 0.1


def test_one_volume_is_named_as_a_registration_names_it(scans, tmp_path, capsys):
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    assert _run(["register", *pair, "--apply", scans / "truth.tfm"], capsys)[0] == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "moving_registered.nii.gz",
        "result.json",
    }


def test_the_wrong_way_round_is_refused_and_leaves_nothing(scans, tmp_path, capsys):
    write_transform(np.linalg.inv(TRUTH), tmp_path / "back.tfm")
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["register", *pair, "--apply", tmp_path / "back.tfm"], capsys)
    assert status == 4
    assert "outside the fixed scan" in printed.err
    assert printed.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["back.tfm"]


USAGE = {
    "two moving": (["pet.nii.gz"], "take the others along"),
    "labels": (["--labels"], "goes with --apply"),
    "two starts": (["--init", "truth.tfm", "--landmarks", "mr.csv", "pet.csv"], "two starts"),
    "no points": (["--method", "landmarks"], "needs --landmarks"),
    "start for none": (["--method", "none", "--init", "truth.tfm"], "has no start"),
    "apply and method": (["--apply", "truth.tfm", "--method", "rigid"], "no meaning"),
    "apply and init": (["--apply", "truth.tfm", "--init", "truth.tfm"], "no meaning"),
}


@pytest.mark.parametrize("name", USAGE)
def test_flags_that_do_not_go_together_are_one_line(name, scans, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(scans)
    extra, says = USAGE[name]
    pair = ["mr.nii.gz", "pet.nii.gz", *extra, "-o", tmp_path / "out"]
    status, printed = _run(["register", *pair], capsys)
    assert status == 2
    assert says in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), ("nonsense", "not an ITK transform"), ("mirror", "mirrors")],
)
def test_a_start_that_is_no_transform_is_one_line(content, says, scans, tmp_path, capsys):
    path = tmp_path / "t.tfm"
    if content == "mirror":
        write_transform(np.diag([-1.0, 1, 1, 1]), path)
    elif content:
        path.write_text(content)
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out", "--init", path]
    status, printed = _run(["register", *pair], capsys)
    assert status in (1, 4)
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def _bad(kind, mr):
    data, affine = mr.as_tensor()[0].numpy().copy(), affine_ras(mr).copy()
    if kind == "all NaN":
        data[:] = np.nan
    if kind == "infinite":
        data[3, 4, 5] = np.inf
    if kind == "constant":
        data[:] = 7
    if kind == "one slice":
        data = data[..., :1]
    if kind == "one row":
        data = data[:1]
    return data, affine


@pytest.mark.parametrize("kind", ["all NaN", "infinite", "constant", "one slice", "one row"])
@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_a_scan_that_cannot_be_registered_is_one_line(
    kind, role, scans, tmp_path, capsys, head_pair
):
    data, affine = _bad(kind, head_pair[0])
    bad = tmp_path / "bad.nii"
    nib.save(nib.Nifti1Image(data, affine), bad)
    good = scans / "pet.nii.gz"
    pair = [bad, good] if role == "fixed" else [good, bad]
    status, printed = _run(["register", *pair, "-o", tmp_path / "out"], capsys)
    assert status == 1
    assert printed.err.startswith("refinefuse: error: ")
    assert "bad.nii" in printed.err
    assert printed.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["bad.nii"]


def test_scans_apart_from_each_other_fail_by_their_headers(scans, tmp_path, capsys):
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["register", *pair, "--method", "none"], capsys)
    assert status == 4
    assert "do not overlap" in printed.err
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["registration"]["verdict"] == "failed"


@pytest.mark.parametrize(("slope", "status"), [(0.2, 0), (30.0, 4)])
def test_axes_that_are_not_at_right_angles_are_straightened_and_said_or_refused(
    slope, status, scans, tmp_path, capsys, head_pair
):
    affine = affine_ras(head_pair[0]).copy()
    affine[:3, 2] += slope * affine[:3, 1]
    sheared = tmp_path / "mr_sheared.nii"
    nib.save(nib.Nifti1Image(head_pair[0].as_tensor()[0].numpy(), affine), sheared)
    pair = [scans / "mr.nii.gz", sheared, "-o", tmp_path / "out", "--method", "none"]
    ended, printed = _run(["register", *pair], capsys)
    told = [line for line in printed.err.splitlines() if "shear" in line or "right angles" in line]
    assert len(told) == 1
    assert ended == status
    assert (tmp_path / "out").exists() == (status == 0)


def test_scans_of_two_patients_are_warned_of_by_what_differs(tmp_path, capsys):
    for patient in ("MAIER-1", "HUBER-2"):
        sample = ["sample-data", tmp_path / patient, "--dicom", "--patient", patient]
        assert _run(sample, capsys)[0] == 0
    mr, ct = (tmp_path / "a", tmp_path / "b")  # folders that name nobody
    (tmp_path / "MAIER-1" / "MR").rename(mr)
    (tmp_path / "HUBER-2" / "CT").rename(ct)
    command = ["register", mr, ct, "-o", tmp_path / "out", "--method", "none", "--json"]
    status, printed = _run(command, capsys)
    assert status in (0, 4)
    assert "two patients: PatientID" in printed.err
    assert not any(word in printed.err + printed.out for word in ("MAIER", "HUBER"))
    asked = _run([*command, "--if-exists", "overwrite", "-v"], capsys)[1]
    assert "MAIER" in asked.err
    assert "MAIER" not in asked.out


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path):
    shape = (150, 180, 130)
    for name, modality in (("mr", "MR"), ("pet", "PT")):
        affine = oblique_affine((1.3, 1.3, 1.3), (3, 4, 5), (-95, -115, -80), (1, 1, 1))
        volume = make_volume(phantom(affine, shape, modality), affine, modality=modality)
        write_nifti(volume, tmp_path / f"{name}.nii")
    code = (
        "import importlib, sys\n"
        "module = importlib.import_module('refinefuse_med.registration.register')\n"
        "from refinefuse_med.cli.main import main\n"
        "real = module.align\n"
        "def told(*args, **options):\n"
        "    print('registering', flush=True)\n"
        "    return real(*args, **options)\n"
        "module.align = told\n"
        "main(sys.argv[1:])"
    )
    pair = [tmp_path / "mr.nii", tmp_path / "pet.nii", "-o", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "register", *map(str, pair)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "registering\n"
    time.sleep(1)  # well inside it
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert told.strip() == "refinefuse: interrupted"
    assert not list(tmp_path.rglob("*partial*"))
    assert not (tmp_path / "out").exists()


def test_preview_and_report_show_how_the_scans_lie(scans, tmp_path, capsys):
    out = tmp_path / "out"
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz"]
    status, _ = _run(
        ["register", *pair, "-o", out, "--init", scans / "truth.tfm", "--report"], capsys
    )
    assert status == 0
    assert json.loads((out / "result.json").read_text())["outputs"] == [
        "alignment.png",
        "moving_registered.nii.gz",
        "report.html",
        "result.json",
        "transform.tfm",
    ]
    assert (out / "report.html").read_text().count("data:image/png;base64,") == 1


def test_pictures_of_a_transform_that_is_only_applied_are_refused(scans, tmp_path, capsys):
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz"]
    status, said = _run(
        ["register", *pair, "-o", tmp_path / "o", "--apply", scans / "truth.tfm", "--preview"],
        capsys,
    )
    assert status == 2
    assert "--preview has no meaning" in said.err
