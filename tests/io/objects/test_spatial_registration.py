"""The transform as a Spatial Registration object."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.objects.spatial_registration import write_registration
from refinefuse_med.volume import Grid
from tests.io.dicom_sources import FRAME_UID, mr_source
from tests.io.objects.helpers import NIFTI, SHAPE, colour, registration


def test_registration_object_maps_points_of_moving_to_fixed(tmp_path, oblique):
    fixed_to_moving = np.eye(4)
    fixed_to_moving[:3, :3] = np.linalg.qr(oblique[:3, :3])[0]
    fixed_to_moving[:3, :3] *= np.sign(np.linalg.det(fixed_to_moving[:3, :3]))
    fixed_to_moving[:3, 3] = (10, -20, 776)
    header = pydicom.dcmread(registration(tmp_path, fixed_to_moving)[0])
    assert header.FrameOfReferenceUID == FRAME_UID
    of_fixed, of_moving = header.RegistrationSequence
    assert of_fixed.FrameOfReferenceUID == FRAME_UID
    assert of_moving.FrameOfReferenceUID == "2.25.55"
    matrix = of_moving.MatrixRegistrationSequence[0].MatrixSequence[0]
    assert matrix.FrameOfReferenceTransformationMatrixType == "RIGID"
    moving_to_fixed = np.reshape(matrix.FrameOfReferenceTransformationMatrix, (4, 4)).astype(float)
    point = np.array([30.0, 40.0, -50.0, 1.0])
    np.testing.assert_allclose(moving_to_fixed @ fixed_to_moving @ point, point, atol=1e-6)


@pytest.mark.parametrize("same_study", [True, False])
def test_registration_object_lists_what_it_refers_to(tmp_path, same_study):
    path, fixed, moving = registration(tmp_path, np.diag([1, 1.1, 1, 1]), same_study=same_study)
    header = pydicom.dcmread(path)
    listed = [*header.ReferencedSeriesSequence]
    for study in header.get("StudiesContainingOtherReferencedInstancesSequence", []):
        listed += study.ReferencedSeriesSequence
    uids = [series.SeriesInstanceUID for series in listed]
    assert uids == [source.datasets[0].SeriesInstanceUID for source in (fixed, moving)]
    assert len(listed[0].ReferencedInstanceSequence) == SHAPE[2]


def test_registration_object_needs_two_dicom_series(tmp_path):
    fixed = mr_source(Grid(SHAPE, np.eye(4)))
    study = derive_study(fixed, colour(np.eye(4)))
    with pytest.raises(InputError, match="two DICOM series"):
        write_registration(np.eye(4), fixed, NIFTI, tmp_path / "r.dcm", study=study)
