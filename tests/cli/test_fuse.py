import json
import os

import nibabel as nib
import numpy as np
import pytest
import torch

from refinefuse_med.cli.main import main
from refinefuse_med.colour import colourise
from refinefuse_med.io import write_nifti
from refinefuse_med.network import RefineFuse
from refinefuse_med.volume import affine_ras, make_volume, to_nibabel


@pytest.fixture(scope="module")
def scans(tmp_path_factory, head_pair):
    folder = tmp_path_factory.mktemp("scans")
    for volume, name in zip(head_pair, ("mr.nii.gz", "pet.nii.gz"), strict=True):
        write_nifti(volume, folder / name)
    return folder


def _run(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr()


def test_fuse_writes_the_folder_of_the_contract(scans, tmp_path, capsys, head_pair):
    out = tmp_path / "out"
    status, printed = _run(
        ["fuse", scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", out, "--register", "none",
         "--preview", "--report", "--format", "nifti,dicom", "--json"],
        capsys,
    )  # fmt: skip
    assert status == 0
    record = json.loads(printed.out)
    assert record == json.loads((out / "result.json").read_text())
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == set(record["outputs"])
    assert {"fused.nii.gz", "functional_registered.nii.gz", "preview.png", "report.html"} < written
    assert "transform.tfm" not in written  # nothing was registered
    assert len(list((out / "dicom" / "fused").glob("*.dcm"))) == 30
    assert record["inputs"]["functional"]["units"] == "SUVbw"

    fused = nib.load(out / "fused.nii.gz")
    np.testing.assert_allclose(fused.affine, affine_ras(head_pair[0]), atol=1e-4)
    assert fused.get_data_dtype().fields is not None  # RGB24


def test_rigid_registration_leaves_a_transform_and_a_verdict(scans, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["register", scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", out, "--json"]
    status, printed = _run(arguments, capsys)
    assert status == 0
    entry = json.loads(printed.out)["registration"]
    assert entry["method"] == "rigid"
    # The two lie in one space, so the truth is the identity.
    matrix = np.array(entry["matrix_fixed_to_moving_lps"])
    corners = np.array([[70, 0, 0, 1], [0, 85, 0, 1], [0, 0, 60, 1], [-70, 0, 0, 1]]).T
    assert np.linalg.norm(((matrix - np.eye(4)) @ corners)[:3], axis=0).max() < 1.5
    assert {p.name for p in out.iterdir()} == {
        "moving_registered.nii.gz", "result.json", "transform.tfm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried"),
            "cpu: a single slice of 50 x 44 does",
        ),
        (MemoryError(), "cpu: a single slice of 50 x 44 does"),
        (
            RuntimeError("CUDA error: launch failure\nx"),
            "cpu: the device failed (CUDA error: launch",
        ),
    ],
)
def test_a_device_that_fails_or_is_full_ends_with_one_line_and_leaves_nothing(
    scans, tmp_path, capsys, monkeypatch, error, said
):
    def fail(*_):
        raise error

    monkeypatch.setattr(RefineFuse, "with_contribution", fail)
    inputs = scans / "mr.nii.gz", scans / "pet.nii.gz"
    out = tmp_path / "out"
    status, printed = _run(["fuse", *inputs, "-o", out, "--register", "none"], capsys)
    assert status == 1
    errors = [line for line in printed.err.splitlines() if not line.startswith("WARNING")]
    assert len(errors) == 1
    assert errors[0].startswith(f"refinefuse: error: {said}")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_for_a_scan_ends_with_one_line(scans, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 40.0 GiB for an array")

    monkeypatch.setattr("refinefuse_med.registration.resample_to", fail)
    inputs = scans / "mr.nii.gz", scans / "pet.nii.gz"
    status, printed = _run(["fuse", *inputs, "-o", tmp_path / "out", "--register", "none"], capsys)
    assert status == 1
    assert printed.err.splitlines()[-1] == (
        "refinefuse: error: not enough memory; close other programs, or use scans of fewer voxels"
    )


def _bad_input(kind, folder):
    path = folder / "bad.nii"
    data = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    if kind == "missing":
        return folder / "nowhere.nii"
    if kind == "empty folder":
        (folder / "empty").mkdir()
        return folder / "empty"
    if kind == "text":
        path.write_text("this is no scan\n" * 50)
        return path
    if kind == "truncated":
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
        path.write_bytes(path.read_bytes()[:900])
        return path
    if kind == "zero bytes":
        path.touch()
        return path
    data = {
        "nan": np.where(data > 0.9, np.nan, data),
        "zero": np.zeros_like(data),
        "one slice": data[..., :1],
        "four dimensions": np.stack([data, data], axis=-1),
    }[kind]
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty folder", "text", "truncated", "zero bytes", "nan", "zero", "one slice",
     "four dimensions"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["anatomical", "functional"])
def test_bad_input_is_one_line_and_leaves_nothing(kind, role, scans, tmp_path, capsys):
    bad = _bad_input(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    pair = [bad, scans / "pet.nii.gz"] if role == "anatomical" else [scans / "mr.nii.gz", bad]
    status, printed = _run(["fuse", *pair, "-o", tmp_path / "deep" / "out"], capsys)
    assert status == 1
    assert printed.err.startswith("refinefuse: error: ")
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_out_that_exists_is_kept_unless_told(scans, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", out, "--register", "none"]
    status, printed = _run(["fuse", *pair], capsys)
    assert status == 1
    assert "already exists" in printed.err
    assert _run(["fuse", *pair, "--if-exists", "skip"], capsys)[0] == 0
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert _run(["fuse", *pair, "--if-exists", "overwrite"], capsys)[0] == 0
    assert "mine.txt" not in {p.name for p in out.iterdir()}


def test_out_below_a_file_is_refused(scans, tmp_path, capsys):
    (tmp_path / "file").touch()
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "file" / "out"]
    status, printed = _run(["fuse", *pair], capsys)
    assert status == 1
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_gpu_asked_for_and_absent_is_an_error(device, scans, tmp_path, capsys):
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["fuse", *pair, "--device", device], capsys)
    assert status == 1
    assert device in printed.err
    assert not (tmp_path / "out").exists()


def test_a_device_that_fails_mid_run_is_one_line_and_leaves_nothing(
    scans, tmp_path, capsys, monkeypatch
):
    from refinefuse_med.network import RefineFuse

    def failing(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile ...")

    monkeypatch.setattr(RefineFuse, "with_contribution", failing)
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["fuse", *pair, "--register", "none", "--no-progress", "-q"], capsys)
    assert status == 1
    assert "cpu: the device failed (CUDA error: an illegal memory access" in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_memory_that_is_too_small_costs_batches_and_is_told(scans, tmp_path, capsys, monkeypatch):
    from refinefuse_med.network import RefineFuse

    whole = RefineFuse.with_contribution

    def cramped(model, anatomical, functional):
        if len(anatomical) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(model, anatomical, functional)

    monkeypatch.setattr(RefineFuse, "with_contribution", cramped)
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, _ = _run(["fuse", *pair, "--register", "none", "--no-progress"], capsys)
    assert status == 0
    warnings = json.loads((tmp_path / "out" / "result.json").read_text())["warnings"]
    assert any("too small for" in text and "went on with" in text for text in warnings)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_damaged_or_missing_weights_end_with_5(content, scans, tmp_path, capsys):
    weights = tmp_path / "weights.safetensors"
    if content is not None:
        weights.write_bytes(content)
    pair = [scans / "mr.nii.gz", scans / "pet.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["fuse", *pair, "--model", weights], capsys)
    assert status == 5
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_scans_that_share_nothing_are_not_fused(scans, tmp_path, capsys):
    noise = np.random.default_rng(0).random((30, 30, 30)).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, np.diag([5.0, 5, 5, 1])), tmp_path / "pet_noise.nii")
    pair = [scans / "mr.nii.gz", tmp_path / "pet_noise.nii", "-o", tmp_path / "out"]
    status, printed = _run(["fuse", *pair], capsys)
    assert status == 4
    assert "judged failed" in printed.err
    assert os.listdir(tmp_path) == ["pet_noise.nii"]


def test_the_values_of_a_colour_picture_are_read_from_its_palette(scans, tmp_path, capsys):
    pet = nib.load(scans / "pet.nii.gz")
    values = pet.get_fdata(dtype=np.float32)
    colours = (colourise(torch.from_numpy(values / values.max()), "hot_iron") * 255).round()
    image = to_nibabel(make_volume(colours.to(torch.uint8), pet.affine, modality="PT"))
    nib.save(image, tmp_path / "pet_colours.nii.gz")
    pair = [scans / "mr.nii.gz", tmp_path / "pet_colours.nii.gz", "-o", tmp_path / "out"]
    status, printed = _run(["fuse", *pair, "--register", "none"], capsys)
    assert status == 1
    assert "one channel" in printed.err
    status, printed = _run(
        ["fuse", *pair, "--register", "none", "--functional-palette", "hot_iron", "--json"], capsys
    )
    assert status == 0
    assert "the colours of the palette hot_iron" in " ".join(json.loads(printed.out)["warnings"])
