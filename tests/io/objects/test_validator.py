"""Every object, as dciodvfy of dicom3tools sees it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import Grid, make_volume
from tests.io.dicom_sources import ct_source, mr_source, pet_source
from tests.io.objects.helpers import (
    NIFTI,
    SHAPE,
    colour,
    functional,
    registration,
    validation_errors,
)


def _written(tmp_path, oblique, case):
    grid = Grid(SHAPE, oblique)
    old = Grid((4, 4, 3), np.diag([3.0, 3.0, 5.0, 1.0]))
    sources = {
        "plain": mr_source(grid),
        "no body part": mr_source(grid, BodyPartExamined=None),
        "paired body part": mr_source(grid, BodyPartExamined="EXTREMITY"),
        "faulty": mr_source(grid, StudyID="longer than sixteen characters"),
        "nothing known": NIFTI,
    }
    registered = {
        "PET": functional(oblique, "PT", "SUVbw", pet_source(old)),
        "PET in Bq/ml": functional(oblique, "PT", "Bq/ml", pet_source(old)),
        "CT": functional(oblique, "CT", "HU", ct_source(old)),
        "NM": functional(oblique, "NM", "counts"),
    }
    if case.startswith("registration"):
        return [registration(tmp_path, np.eye(4), same_study=case == "registration")[0]]
    if case in registered:
        return write_registered_series(registered[case], sources["plain"], tmp_path)
    if case == "grey":
        grey = make_volume(np.full(SHAPE, 0.5), oblique)
        return write_secondary_capture(grey, sources["plain"], tmp_path)
    return write_secondary_capture(colour(oblique), sources[case], tmp_path)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
@pytest.mark.parametrize(
    "case",
    [
        "plain",
        "no body part",
        "paired body part",
        "faulty",
        "nothing known",
        "grey",
        "PET",
        "PET in Bq/ml",
        "CT",
        "NM",
        "registration",
        "registration across studies",
    ],
)
def test_validator_finds_no_error(tmp_path, oblique, case):
    path = _written(tmp_path, oblique, case)[-1]
    assert validation_errors(path) == []
