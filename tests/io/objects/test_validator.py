"""Every object of every kind of source, as dciodvfy and dcentvfy of dicom3tools see it."""

from __future__ import annotations

import shutil
import subprocess
import zipfile

import numpy as np
import pytest

from refinefuse_med.io import DicomOptions, Shown, load_volume, write_dicom
from refinefuse_med.volume import Grid, grid_of, like, make_volume, source_of
from tests.io.dicom_sources import ct_source, enhanced_source, mr_source, nm_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, colour, functional, validation_errors

ANATOMICAL = {
    "MR": mr_source,
    "CT": ct_source,
    "enhanced MR": enhanced_source,
    "decubitus": lambda grid: mr_source(grid, PatientPosition="HFDR"),
    "no body part": lambda grid: mr_source(grid, BodyPartExamined=None),
    "paired body part": lambda grid: mr_source(grid, BodyPartExamined="EXTREMITY"),
    "faulty": lambda grid: mr_source(grid, StudyID="longer than sixteen characters"),
    "no patient": lambda grid: mr_source(
        grid, PatientName=None, PatientID=None, PatientSex=None, FrameOfReferenceUID=None
    ),
    "garbled": lambda grid: mr_source(
        grid,
        BodyPartExamined="BREAST",
        Laterality="B",
        PatientBirthDate="1950-01-01",
        PatientSex="male",
        StudyTime="25:61",
        StudyDescription="d" * 200,
        PatientPosition="HEAD FIRST",
        SeriesNumber="",
    ),
    "Japanese": lambda grid: enhanced_source(
        grid,
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        StudyDescription="山田",
        StudyDate="",
        PatientPosition="FFP",
    ),
    "Chinese": lambda grid: ct_source(
        grid, SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东"
    ),
    "nothing known": lambda _: NIFTI,
}
FUNCTIONAL = {
    "PET": ("PT", "SUVbw", pet_source),
    "PET in Bq/ml": ("PT", "Bq/ml", pet_source),
    "PET of another study": ("PT", "SUVbw", lambda g: pet_source(g, StudyInstanceUID="2.25.77")),
    "CT": ("CT", "HU", ct_source),
    "enhanced CT": ("CT", "HU", lambda grid: enhanced_source(grid, "CT")),
    "NM": ("NM", "counts", nm_source),
    "NIfTI": ("PT", "SUVbw", lambda _: NIFTI),
}
CASES = [(name, "PET") for name in ANATOMICAL] + [("MR", name) for name in list(FUNCTIONAL)[1:]]
ALL = DicomOptions(multiframe=True, quantitative=True, colour_bar=True, seed="a")


needs_validator = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dicom3tools is not installed"
)


@needs_validator
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
@pytest.mark.parametrize("options", [DicomOptions(), ALL], ids=["default", "all options"])
@pytest.mark.parametrize(("anatomical", "moving"), CASES)
def test_validator_finds_no_error(tmp_path, oblique, anatomical, moving, options):
    modality, units, make = FUNCTIONAL[moving]
    volume = functional(
        oblique, modality, units, make(Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0])))
    )
    grey = modality == "CT"
    fused = make_volume(np.full(SHAPE, 0.5), oblique) if grey else colour(oblique)
    paths = write_dicom(
        tmp_path,
        fused,
        volume,
        ANATOMICAL[anatomical](grid_of(volume)),
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 900), (0, 8), None if grey else np.zeros((256, 3), np.uint8)),
        contribution=make_volume(np.full(SHAPE, 0.25), oblique, units="ratio"),
        options=options,
    )
    _assert_valid(paths)


def _assert_valid(paths):
    # The slices of a series differ in place and number alone.
    for path in {path.parent if path.stem.isdigit() else path: path for path in paths}.values():
        assert validation_errors(path) == [], path
    done = subprocess.run(
        ["dcentvfy", *(str(path) for path in paths)], capture_output=True, text=True
    )
    assert "Error" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for name in ("thigh_pet_ct_mr", "dicom_cases"):
        with zipfile.ZipFile(shared_data / "dicom" / f"{name}.zip") as archive:
            archive.extractall(folder)
    return lambda name: load_volume(next(folder.rglob(name)))


@needs_validator
@pytest.mark.parametrize("options", [DicomOptions(), ALL], ids=["default", "all options"])
@pytest.mark.parametrize(
    ("anatomical", "moving"),
    [
        ("MR_T1", "PET"),
        ("CT", "PET"),
        ("MR_T1", "CT"),
        ("philips_enhanced", "NM-MONO2-16-13x-heart"),
        ("siemens_xa30_T1_96frames.dcm", "PET"),
        ("hitachi", "PET"),
    ],
)
def test_validator_finds_no_error_of_real_scans(tmp_path, real, anatomical, moving, options):
    fixed, functional = real(anatomical), real(moving)
    grid = grid_of(fixed)
    small = Grid((12, 14, grid.shape[2]), grid.affine_ras)
    rng = np.random.default_rng(0)
    paths = write_dicom(
        tmp_path,
        like(fixed, rng.integers(0, 256, (3, *small.shape), dtype=np.uint8), small),
        like(functional, rng.random(small.shape) * 9, small),
        source_of(fixed),
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 900), (0, 8), np.zeros((256, 3), np.uint8)),
        options=options,
    )
    assert {"registration.dcm", "blending.dcm"} < {path.name for path in paths}
    _assert_valid(paths)
