"""A deformation as a Deformable Spatial Registration object, read back by its equation."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from scipy.ndimage import map_coordinates

from refinefuse_med.errors import InputError
from refinefuse_med.io import DicomOptions, Shown, write_dicom
from refinefuse_med.io.objects.deformable_registration import write_deformable_registration
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.volume import Grid, grid_of
from tests.io.dicom_sources import FRAME_UID, mr_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, colour, functional, validation_errors

TURN = np.array([[0.0, -1, 0, 12], [1, 0, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1]])


def _bend(points):
    x, y, z = points / 20
    return np.stack([3 * np.sin(y), 2 * np.cos(z) - x, x * y])


@pytest.fixture
def written(tmp_path, affine):
    return _write(tmp_path, affine)


def _write(tmp_path, affine, options=None):
    fused = colour(affine)
    moving = pet_source(Grid((4, 4, 3), np.eye(4)), FrameOfReferenceUID="2.25.55")
    write_dicom(
        tmp_path,
        fused,
        functional(affine, "PT", "SUVbw", moving),
        mr_source(grid_of(fused)),
        matrix_fixed_to_moving_lps=TURN,
        method="deformable",
        displacement=_bend,
        shown=Shown((0, 900), (0, 8), functional_factor=0.25),
        options=options,
    )
    return tmp_path, moving, grid_of(fused)


def test_points_go_where_the_deformation_takes_them(written):
    folder, moving, grid = written
    header = pydicom.dcmread(folder / "registration.dcm")
    assert header.FrameOfReferenceUID == FRAME_UID
    (item,) = header.DeformableRegistrationSequence
    assert item.SourceFrameOfReferenceUID == "2.25.55"
    assert len(item.ReferencedImageSequence) == len(moving.datasets)
    (vectors,) = item.DeformableRegistrationGridSequence
    (post,) = item.PostDeformationMatrixRegistrationSequence
    matrix = np.reshape(post.FrameOfReferenceTransformationMatrix, (4, 4)).astype(float)
    row, column = np.reshape(vectors.ImageOrientationPatient, (2, 3)).astype(float)
    axes = np.column_stack([row, column, np.cross(row, column)]) * vectors.GridResolution
    start = np.array(vectors.ImagePositionPatient, dtype=float)[:, None]
    sizes = [*vectors.GridDimensions[::-1], 3]
    field = np.frombuffer(vectors.VectorGridData, "<f4").reshape(sizes)

    corners = np.array([(0, 0, 0, 1), (8, 10, 5, 1), (8, 0, 5, 1), (4, 5, 2, 1), (0, 10, 0, 1)]).T
    points = (grid.affine_lps @ corners)[:3]
    index = np.linalg.inv(axes) @ (points - start)
    assert (index > -1e-3).all()
    assert (index < np.array(sizes[2::-1])[:, None] - 1 + 1e-3).all()
    moved = np.stack(
        [map_coordinates(field[..., c], index[::-1], order=1, mode="nearest") for c in range(3)]
    )
    found = matrix[:3, :3] @ (points + moved) + matrix[:3, 3:]
    expected = TURN[:3, :3] @ (points + _bend(points)) + TURN[:3, 3:]
    np.testing.assert_allclose(found, expected, atol=0.05)  # of linear interpolation


@pytest.mark.parametrize("options", [None, DicomOptions(quantitative=True)], ids=["PT", "map"])
def test_blending_shows_the_series_that_was_resampled(tmp_path, oblique, options):
    folder, _, _ = _write(tmp_path, oblique, options)
    state = pydicom.dcmread(folder / "blending.dcm")
    base, overlay = state.AdvancedBlendingSequence
    assert "ReferencedSpatialRegistrationSequence" not in overlay
    (named,) = state.ReferencedInstanceSequence
    deformation = pydicom.dcmread(folder / "registration.dcm")
    assert named.ReferencedSOPInstanceUID == deformation.SOPInstanceUID
    headers = [pydicom.dcmread(path) for path in sorted(folder.glob("functional_registered*/*"))]
    headers += [pydicom.dcmread(path) for path in folder.glob("functional_registered.dcm")]
    assert {header.FrameOfReferenceUID for header in headers} == {state.FrameOfReferenceUID}
    assert [item.ReferencedSOPInstanceUID for item in overlay.ReferencedImageSequence] == [
        header.SOPInstanceUID for header in headers
    ]
    assert overlay.SeriesInstanceUID == headers[0].SeriesInstanceUID != base.SeriesInstanceUID
    # In SUV, as the registered files have it, not in the Bq/ml of the source.
    (voi,) = overlay.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (4, 8)
    if shutil.which("dciodvfy"):
        assert validation_errors(folder / "blending.dcm") == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_validator_finds_no_error(written):
    assert validation_errors(written[0] / "registration.dcm") == []


def test_slices_name_the_whole_functional_series(written):
    header = pydicom.dcmread(written[0] / "fused" / "0003.dcm")
    assert len(header.SourceImageSequence) == 1 + len(written[1].datasets)


def test_it_needs_two_dicom_series_and_a_frame_of_reference(tmp_path, oblique):
    grid = Grid(SHAPE, oblique)
    fixed = mr_source(grid)
    study = derive_study(fixed, colour(oblique))
    nameless = pet_source(Grid((4, 4, 3), np.eye(4)), FrameOfReferenceUID=None)
    for moving, said in ((NIFTI, "two DICOM series"), (nameless, "frame of reference")):
        with pytest.raises(InputError, match=said):
            write_deformable_registration(
                TURN, _bend, grid, fixed, moving, tmp_path / "r.dcm", study=study
            )
