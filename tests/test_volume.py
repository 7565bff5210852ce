import pickle

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import DataLoader, Dataset
from monai.utils import SpaceKeys
from scipy.spatial.transform import Rotation

from refinefuse_med import volume as vol
from refinefuse_med.errors import GeometryError, InputError

AFFINES = {
    "identity": np.eye(4),
    "flipped": np.diag([-1.0, 1.0, -2.5, 1.0]),
    "permuted": np.array([[0, 0, 3.0, -7], [-1.1, 0, 0, 40], [0, 0.8, 0, 5], [0, 0, 0, 1]]),
}


def _affine(name, oblique):
    return oblique if name == "oblique" else AFFINES[name]


def _positions(shape, affine):
    """Each voxel's own RAS position: (3, I, J, K)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    return np.einsum("ab,bijk->aijk", affine[:3, :3], index) + affine[:3, 3, None, None, None]


@pytest.mark.parametrize("name", ["identity", "flipped", "permuted", "oblique"])
def test_sitk_sees_each_voxel_at_its_own_place(name, oblique):
    affine = _affine(name, oblique)
    positions = _positions((5, 6, 7), affine)
    for axis in range(3):
        image = vol.to_sitk(vol.make_volume(positions[axis], affine))
        sign = -1 if axis < 2 else 1  # LPS
        for index in [(0, 0, 0), (4, 0, 6), (1, 5, 3)]:
            point = image.TransformIndexToPhysicalPoint(index)
            assert point[axis] * sign == pytest.approx(image[index], abs=1e-4)


@pytest.mark.parametrize("name", ["identity", "flipped", "permuted", "oblique"])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_through_sitk_loses_nothing(name, channels, oblique):
    affine = _affine(name, oblique)
    data = np.random.default_rng(0).normal(size=(channels, 5, 6, 7)).astype(np.float32)
    before = vol.make_volume(data, affine, modality="PT", units="SUVbw")
    after = vol.from_sitk(vol.to_sitk(before), modality="PT", units="SUVbw")
    assert torch.equal(before.as_tensor(), after.as_tensor())
    np.testing.assert_allclose(after.affine, affine, atol=1e-10)
    assert after.meta["units"] == "SUVbw"


@pytest.mark.parametrize("name", ["identity", "flipped", "permuted", "oblique"])
def test_round_trip_through_a_nifti_file_loses_nothing(name, oblique, tmp_path):
    affine = _affine(name, oblique)
    data = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    nib.save(vol.to_nibabel(vol.make_volume(data, affine)), tmp_path / "v.nii.gz")
    image = nib.load(tmp_path / "v.nii.gz")
    after = vol.from_nibabel(image)
    assert np.array_equal(after.as_tensor().numpy()[0], data)
    np.testing.assert_allclose(after.affine, affine, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-3)
    # and a second program reads the same place
    point = sitk.ReadImage(str(tmp_path / "v.nii.gz")).TransformIndexToPhysicalPoint((4, 0, 6))
    np.testing.assert_allclose(
        np.array(point) * (-1, -1, 1), (affine @ (4, 0, 6, 1))[:3], atol=1e-3
    )


def test_colour_survives_nifti(oblique):
    data = np.random.default_rng(0).integers(0, 255, (3, 5, 6, 7), dtype=np.uint8)
    image = vol.to_nibabel(vol.make_volume(data, oblique))
    assert image.header["datatype"] == 128  # RGB24
    assert np.array_equal(vol.from_nibabel(image).as_tensor().numpy(), data)


def test_sheared_affine_is_refused_by_sitk_but_kept_by_nifti():
    sheared = np.eye(4)
    sheared[1, 2] = 0.3
    volume = vol.make_volume(np.zeros((3, 3, 3)), sheared)
    with pytest.raises(GeometryError, match="right angles"):
        vol.to_sitk(volume)
    np.testing.assert_allclose(vol.to_nibabel(volume).affine, sheared)


def test_grid_knows_spacing_orientation_and_centre(oblique):
    grid = vol.Grid((11, 7, 5), oblique)
    assert grid.spacing_mm == pytest.approx((0.9, 1.3, 4.1))
    np.testing.assert_allclose(grid.center_ras, (oblique @ (5, 3, 2, 1))[:3])
    assert vol.Grid((3, 3, 3), AFFINES["permuted"]).orientation == "PSR"


def test_grids_differ_when_a_far_corner_does(oblique):
    turned = oblique.copy()
    turned[:3, :3] = Rotation.from_euler("z", 0.01, degrees=True).as_matrix() @ oblique[:3, :3]
    assert vol.Grid((2, 2, 2), oblique).same_as(vol.Grid((2, 2, 2), turned))
    assert not vol.Grid((200, 200, 90), oblique).same_as(vol.Grid((200, 200, 90), turned))


def test_unknown_metadata_is_absent_and_described_as_null():
    volume = vol.make_volume(np.zeros((2, 3, 4)), np.eye(4))
    assert vol.Keys.FRAME_OF_REFERENCE_UID not in volume.meta
    entry = vol.describe(volume)
    assert entry["frame_of_reference_uid"] is None
    assert entry["shape"] == [2, 3, 4]


def test_volumes_collate_and_keep_their_headers():
    header = vol.SourceHeader("nifti", "x.nii", warnings=("said",))
    items = [{"v": vol.make_volume(np.ones((2, 3, 4)), np.eye(4), source=header)}] * 2
    batch = next(iter(DataLoader(Dataset(items), batch_size=2)))
    assert batch["v"].shape == (2, 1, 2, 3, 4)
    assert batch["v"].meta["source"][0].warnings == ("said",)
    assert batch["v"][1].meta["source"].format == "nifti"


def test_header_is_shared_not_copied_by_clone():
    volume = vol.make_volume(np.ones((2, 3, 4)), np.eye(4))
    assert volume.clone().meta["source"] is volume.meta["source"]


def test_headers_survive_process_borders():
    header = vol.SourceHeader("dicom", "folder", warnings=("said",)).with_warning("more")
    again = pickle.loads(pickle.dumps(header))  # noqa: S301
    assert (again.format, again.path, again.warnings) == ("dicom", "folder", ("said", "more"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.full((4, 4, 4), np.nan), "64 voxels are NaN"),
        (np.zeros((4, 4, 4)), "same value"),
        (np.random.default_rng(0).random((4, 4, 1)), "single slice"),
        (np.random.default_rng(0).random((2, 4, 4, 4)), "one channel"),
    ],
)
def test_what_cannot_be_fused_is_refused_in_one_line(data, says):
    with pytest.raises(InputError, match=says) as caught:
        vol.require_scalar(vol.make_volume(data, np.eye(4)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.diag([1.0, 0, 1, 1]), np.eye(3)])
def test_affine_without_inverse_is_refused(affine):
    with pytest.raises(GeometryError):
        vol.make_volume(np.ones((2, 2, 2)), affine)


def test_a_volume_that_monai_left_in_lps_is_refused(oblique):
    volume = vol.make_volume(np.zeros((4, 5, 6)), oblique)
    volume.meta["space"] = SpaceKeys.LPS
    with pytest.raises(GeometryError, match="leads to LPS"):
        vol.grid_of(volume)
