"""Transforms as ITK reads them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from refinefuse_med.errors import InputError, OutputError
from refinefuse_med.io.transform import read_transform, write_transform


def _rigid(angles=(12.0, -33.0, 140.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = (-7.25, 31.5, 776.125)
    return matrix


def _affine():
    return _rigid() @ np.array(
        [[1.1, 0.02, 0, 0], [0, 0.93, 0.05, 0], [0, 0, 1.04, 0], [0, 0, 0, 1]]
    )


# 90 degrees about x is where the angles of ITK's Euler transform are worth least, and half
# turns are where those of a versor are.
MATRICES = {
    "oblique": _rigid(),
    "affine": _affine(),
    "gimbal lock": _rigid((90.0, 20.0, 0.0)),
    "near gimbal lock": _rigid((89.9999, 0.0, 30.0)),
    "half turn": _rigid((180.0, 0.0, 0.0)),
    "mirror": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "identity": np.eye(4),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
@pytest.mark.parametrize("center", [None, (11.0, -40.0, 65.0)])
def test_round_trip(tmp_path, matrix, center):
    path = write_transform(matrix, tmp_path / "t.tfm", center)
    np.testing.assert_allclose(read_transform(path), matrix, atol=1e-9)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
def test_itk_maps_points_of_fixed_to_moving(tmp_path, matrix):
    transform = sitk.ReadTransform(str(write_transform(matrix, tmp_path / "t.tfm", (5, 6, 7))))
    point = np.array([-81.0, 47.0, 19.0])
    expected = matrix[:3, :3] @ point + matrix[:3, 3]
    np.testing.assert_allclose(transform.TransformPoint(point.tolist()), expected, atol=1e-9)


def test_rotation_is_written_as_rigid_with_its_centre(tmp_path):
    path = write_transform(_rigid(), tmp_path / "t.tfm", (5.0, 6.0, 7.0))
    transform = sitk.ReadTransform(str(path))
    assert transform.GetTransformEnum() == sitk.sitkEuler
    assert transform.GetFixedParameters()[:3] == (5.0, 6.0, 7.0)


def test_composite_of_linear_transforms_is_read(tmp_path):
    shift, turn = np.eye(4), _rigid()
    shift[:3, 3] = (1, 2, 3)
    parts = [
        sitk.ReadTransform(str(write_transform(matrix, tmp_path / "part.tfm")))
        for matrix in (shift, turn)
    ]
    sitk.WriteTransform(sitk.CompositeTransform(parts), str(tmp_path / "t.tfm"))
    # ITK applies the last one first.
    np.testing.assert_allclose(read_transform(tmp_path / "t.tfm"), shift @ turn, atol=1e-9)


def test_what_is_not_a_linear_transform_is_refused(tmp_path):
    (tmp_path / "t.tfm").write_text("not a transform")
    with pytest.raises(InputError, match="not an ITK transform"):
        read_transform(tmp_path / "t.tfm")
    with pytest.raises(InputError, match="no such file"):
        read_transform(tmp_path / "absent.tfm")
    sitk.WriteTransform(sitk.BSplineTransform(3), str(tmp_path / "b.tfm"))
    with pytest.raises(InputError, match="not a linear"):
        read_transform(tmp_path / "b.tfm")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "2d.tfm"))
    with pytest.raises(InputError, match="three dimensions"):
        read_transform(tmp_path / "2d.tfm")


def test_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"t\.tfm"):
        write_transform(np.eye(4), tmp_path / "absent" / "t.tfm")
