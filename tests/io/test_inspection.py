"""Inspecting accounts for every file, agrees with the reader, and needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from refinefuse_med.cli.inspect import inspect
from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.io import inspect_path, load_volume
from refinefuse_med.volume import describe, source_of
from tests.io.corpus import AXIAL, SAGITTAL, Scan, make_slice, pet_tags, write_enhanced, write_scan

FIELDS = [
    "series_instance_uid",
    "modality",
    "description",
    "files",
    "shape",
    "spacing_mm",
    "orientation",
    "frame_of_reference_uid",
    "units",
    "usable",
    "reason",
    "warnings",
]


@pytest.fixture
def study(tmp_path):
    """A folder with a bit of everything."""
    root = tmp_path / "study"
    scan = Scan(orientation=AXIAL, tags={"SeriesDescription": "T1 [axial]"})
    write_scan(root / "mr", scan)
    make_slice(Scan(orientation=SAGITTAL, series_uid=scan.series_uid), 0).save_as(
        root / "mr" / "localizer.dcm"
    )
    write_scan(root / "pet", Scan(modality="PT", tags=pet_tags()))
    gap = write_scan(root / "gap", Scan(modality="CT"))
    gap[2].unlink()
    write_enhanced(root / "times.dcm", Scan(), [0, 0, 1, 1, 2, 2])
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.int16), np.eye(4)), root / "bold.nii")
    (root / "broken.nii.gz").write_text("no")
    (root / "readme.txt").write_text("hello")
    (root / "link").symlink_to(root / "nowhere")
    return root


def by(found, **wanted):
    return next(e for e in found.series if all(getattr(e, k) == v for k, v in wanted.items()))


def test_every_file_is_accounted_for(study):
    found = inspect_path(study)
    files = [p for p in study.rglob("*") if not p.is_dir()]
    assert sum(entry.files for entry in found.series) + len(found.skipped) == len(files)
    assert {item.name: item.reason for item in found.skipped} == {
        "broken.nii.gz": "not a readable NIfTI file (no NIfTI header in it)",
        "link": "dangling link",
        "readme.txt": "not a DICOM file",
    }


def test_what_cannot_be_fused_says_why(study):
    found = inspect_path(study)
    assert by(found, path="mr").usable
    assert "single slice" in by(found, path="mr/localizer.dcm").reason
    assert "gap of 8.00 mm" in by(found, path="gap").reason
    assert by(found, path="times.dcm").shape == (9, 7, 3, 2)
    assert "2 volumes in one series" in by(found, path="times.dcm").reason
    assert by(found, path="bold.nii").shape == (4, 5, 6, 2)
    assert "2 frames" in by(found, path="bold.nii").reason


def test_inspecting_and_reading_agree(study):
    found = inspect_path(study)
    for entry in found.series:
        if entry.series_instance_uid is None or entry.path == "mr/localizer.dcm":
            continue
        where = study / entry.path
        if entry.usable:
            volume = load_volume(where, series_uid=entry.series_instance_uid)
            said = {k: v for k, v in entry.to_dict().items() if k in describe(volume)}
            assert said == describe(volume)
            assert set(entry.warnings) <= set(source_of(volume).warnings)
        else:
            with pytest.raises(RefineFuseError) as caught:
                load_volume(where, series_uid=entry.series_instance_uid)
            # Which volume to choose is told in the words of the command.
            assert str(caught.value).startswith(f"{where}: {entry.reason.partition(':')[0]}")


def test_the_record_has_the_fields_of_the_contract_and_no_patient(study):
    record = inspect_path(study).to_dict()
    assert set(record) == {"series", "skipped"}
    assert set(FIELDS) <= set(record["series"][0])
    assert "patient" not in json.dumps(record)


def test_one_file_and_a_zip_are_inspected_too(study):
    (one,) = inspect_path(study / "times.dcm").series
    assert one.files == 1
    path = study.parent / "study.zip"
    with zipfile.ZipFile(path, "w") as file:
        for p in (study / "mr").iterdir():
            file.write(p, p.name)
    assert [e.usable for e in inspect_path(path).series].count(True) == 1
    assert inspect_path(study / "readme.txt").skipped[0].reason == "not a DICOM file"


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="empty"):
        inspect_path(tmp_path)


def test_the_command_prints_a_table_or_json(study):
    table = CliRunner(env={"COLUMNS": "160"}).invoke(inspect, [str(study)])
    assert table.exit_code == 0
    assert "T1 [axial]" in table.output
    assert "2 of 6 series usable, 3 files skipped" in table.output
    out = CliRunner().invoke(inspect, [str(study), "--json"])
    assert json.loads(out.stdout) == inspect_path(study).to_dict()


def test_inspecting_imports_no_torch(study):
    code = (
        "import sys; from refinefuse_med.io import inspect_path; inspect_path(sys.argv[1]);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'monai', 'SimpleITK')))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(study)], check=False).returncode == 0
