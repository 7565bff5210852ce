"""What the tests of written objects share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom

from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.objects.spatial_registration import write_registration
from refinefuse_med.volume import Grid, SourceHeader, make_volume
from tests.io.dicom_sources import mr_source, pet_source

SHAPE = (9, 11, 6)


NIFTI = SourceHeader("nifti", "scan.nii.gz")


# Four voxels that are not in one plane: where they lie settles the whole affine, its
# handedness included.
MARKERS = {250: (1, 2, 0), 200: (7, 1, 1), 150: (2, 9, 4), 100: (6, 8, 5)}


def colour(affine):
    data = np.zeros((3, *SHAPE), dtype=np.uint8)
    for value, voxel in MARKERS.items():
        data[(slice(None), *voxel)] = (value, value // 2, 7)
    return make_volume(data, affine)


def where(affine, voxel):
    return (affine @ (*voxel, 1))[:3]


def headers_of(paths):
    return [pydicom.dcmread(path) for path in paths]


def functional(affine, modality, units, source=None, scale=37.5):
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32) * scale
    return make_volume(data, affine, modality=modality, units=units, source=source)


def validation_errors(path: Path) -> list[str]:
    """What dciodvfy calls an error in one file."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]


def registration(tmp_path, matrix, *, same_study=True):
    fixed = mr_source(Grid(SHAPE, np.eye(4)))
    changes = {} if same_study else {"StudyInstanceUID": "2.25.77"}
    moving = pet_source(Grid((4, 4, 3), np.eye(4)), FrameOfReferenceUID="2.25.55", **changes)
    study = derive_study(fixed, colour(np.eye(4)))
    path = write_registration(matrix, fixed, moving, tmp_path / "registration.dcm", study=study)
    return path, fixed, moving
