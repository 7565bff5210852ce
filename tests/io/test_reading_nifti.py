"""NIfTI: affine and values kept, meaning found where it can be, doubts told."""

from __future__ import annotations

import itertools
import json
import struct

import nibabel as nib
import numpy as np
import pytest

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io import load_volume
from refinefuse_med.volume import (
    Keys,
    affine_ras,
    grid_of,
    modality_of,
    require_scalar,
    source_of,
    to_nibabel,
)
from tests.conftest import oblique_affine


def warnings_of(volume) -> str:
    return " | ".join(source_of(volume).warnings)


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(-500, 900, (6, 5, 4)).astype(np.int16)


def save(path, data, affine, **codes):
    image = nib.Nifti1Image(data, affine)
    for form, code in codes.items():
        getattr(image, f"set_{form}")(affine, code)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_affine_and_values_are_kept(tmp_path, data, oblique, suffix):
    volume = load_volume(save(tmp_path / f"brain_t1{suffix}", data, oblique))
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-5)
    np.testing.assert_array_equal(volume.numpy()[0], data)
    assert source_of(volume).format == "nifti"


def test_scl_slope_is_applied(tmp_path, oblique):
    values = np.linspace(-1.5, 7.25, 120).reshape(6, 5, 4)
    image = nib.Nifti1Image(values, oblique)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "t1.nii")
    np.testing.assert_allclose(load_volume(tmp_path / "t1.nii").numpy()[0], values, atol=1e-3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_of_several_frames_one_is_chosen(tmp_path, data, oblique, suffix):
    one = save(tmp_path / f"t1{suffix}", data[..., None], oblique)
    assert load_volume(one).shape == (1, 6, 5, 4)
    path = save(tmp_path / f"two{suffix}", np.stack([data, -data], -1), oblique)
    with pytest.raises(InputError, match="2 frames in one file; choose one with #N"):
        load_volume(path)
    with pytest.raises(InputError, match="no frame 3 in a file of 2"):
        load_volume(path, series_uid="#3")
    for number, frame in ((1, data), (2, -data)):
        volume = load_volume(path, series_uid=f"#{number}")
        np.testing.assert_array_equal(volume.numpy()[0], frame)
    assert "frame 2 of 2" in warnings_of(volume)


def test_a_series_uid_asked_of_a_file_without_series_is_refused(tmp_path, data, oblique):
    path = tmp_path / "t1.nii"
    nib.save(nib.Nifti1Image(data, oblique), path)
    with pytest.raises(InputError, match=r"t1\.nii: a NIfTI file, which has no series 1\.2\.3; "):
        load_volume(path, series_uid="1.2.3")


def test_rgb_stays_colour(tmp_path, oblique):
    rgb = np.random.default_rng(0).integers(0, 255, (6, 5, 4, 3)).astype(np.uint8)
    packed = rgb.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))[..., 0]
    nib.save(nib.Nifti1Image(packed, oblique), tmp_path / "fused.nii.gz")
    volume = load_volume(tmp_path / "fused.nii.gz")
    np.testing.assert_array_equal(volume.numpy(), np.moveaxis(rgb, -1, 0))


@pytest.mark.parametrize(
    ("name", "modality", "units"),
    [
        ("sub-1_T1w", "MR", "a.u."),
        ("STS_002_PET_image", "PT", "a.u."),
        ("head.ct", "CT", "HU"),
        ("spect", "NM", "a.u."),
    ],
)
def test_a_modality_of_the_file_name_is_told(tmp_path, data, oblique, name, modality, units):
    volume = load_volume(save(tmp_path / f"{name}.nii.gz", data, oblique))
    assert (modality_of(volume), volume.meta[Keys.UNITS]) == (modality, units)
    assert f"modality {modality} taken from the file name" in warnings_of(volume)


@pytest.mark.parametrize("name", ["scan", "pet_on_ct", "fact"])
def test_a_doubtful_name_names_no_modality(tmp_path, data, oblique, name):
    volume = load_volume(save(tmp_path / f"{name}.nii.gz", data, oblique))
    assert modality_of(volume) == "OT"
    assert "modality unknown" in warnings_of(volume)


def test_surer_sources_go_before_the_name(tmp_path, data, oblique):
    path = save(tmp_path / "ct.nii.gz", data, oblique)
    image = nib.load(path)
    image.header["descrip"] = b"modality=NM units=counts"
    nib.save(nib.Nifti1Image(data, oblique, image.header), tmp_path / "mine_ct.nii.gz")
    mine = load_volume(tmp_path / "mine_ct.nii.gz")
    assert (modality_of(mine), mine.meta[Keys.UNITS]) == ("NM", "counts")
    assert "modality" not in warnings_of(mine)
    (tmp_path / "mine_ct.json").write_text(json.dumps({"Modality": "PT", "Units": "Bq/mL"}))
    beside = load_volume(tmp_path / "mine_ct.nii.gz")
    assert (modality_of(beside), beside.meta[Keys.UNITS]) == ("PT", "Bq/ml")
    assert modality_of(load_volume(tmp_path / "mine_ct.nii.gz", modality="mr")) == "MR"


def test_disagreeing_forms_are_told(tmp_path, data, oblique):
    image = nib.Nifti1Image(data, oblique)
    other = oblique.copy()
    other[:3, 3] += 12
    image.set_sform(oblique, 1)
    image.set_qform(other, 1)
    nib.save(image, tmp_path / "t1.nii")
    volume = load_volume(tmp_path / "t1.nii")
    assert "qform and sform differ by up to 12 mm" in warnings_of(volume)
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-4)


def test_a_file_without_orientation_is_told(tmp_path, data):
    image = nib.Nifti1Image(data, None)
    image.header.set_zooms((2, 2, 3))
    nib.save(image, tmp_path / "t1.nii")
    assert "left and right are a guess" in warnings_of(load_volume(tmp_path / "t1.nii"))


def test_metres_become_millimetres(tmp_path, data):
    image = nib.Nifti1Image(data, np.diag([0.002, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "t1.nii")
    np.testing.assert_allclose(np.diag(affine_ras(load_volume(tmp_path / "t1.nii")))[:3], [2, 2, 3])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_text_named_nifti_is_refused_in_one_line(tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    path.write_text("this is no scan\n" * 50)
    with pytest.raises(InputError, match="not a readable NIfTI file") as caught:
        load_volume(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_refused(tmp_path, oblique, suffix):
    noise = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    path = save(tmp_path / f"t1{suffix}", noise, oblique)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match="truncated or damaged"):
        load_volume(path)


def test_an_affine_without_inverse_is_refused(tmp_path, data):
    path = save(tmp_path / "t1.nii", data, np.eye(4), sform=1)
    raw = bytearray(path.read_bytes())
    raw[312:328] = bytes(16)  # srow_z
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match="no inverse"):
        load_volume(path)


def test_a_folder_of_one_nifti_reads_as_that_file(tmp_path, data, oblique):
    save(tmp_path / "t1.nii.gz", data, oblique)
    assert modality_of(load_volume(tmp_path)) == "MR"
    save(tmp_path / "t2.nii.gz", data, oblique)
    with pytest.raises(InputError, match="2 NIfTI files; name one"):
        load_volume(tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_is_unpacked_by_its_content_not_its_name(tmp_path, data, oblique, packed):
    first, second = (".nii.gz", ".nii") if packed else (".nii", ".nii.gz")
    path = save(tmp_path / f"t1{first}", data, oblique).rename(tmp_path / f"t2{second}")
    volume = load_volume(path)
    np.testing.assert_array_equal(volume.numpy()[0], data)
    assert "compressed, against its name" in warnings_of(volume)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", [">i2", "<i4", "i8", "u1", ">f4", "f8"])
def test_number_types_and_both_versions_are_read(tmp_path, oblique, kind, dtype):
    values = np.arange(120).reshape(6, 5, 4).astype(dtype)
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    nib.save(kind(values, oblique, header, dtype=np.dtype(dtype).newbyteorder("=")),
             tmp_path / "t1.nii")  # fmt: skip
    volume = load_volume(tmp_path / "t1.nii")
    np.testing.assert_array_equal(volume.numpy()[0], values)
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-5)


def test_integers_that_float32_cannot_hold_are_told(tmp_path, oblique):
    values = np.full((6, 5, 4), 2**24 + 1, np.int64)
    nib.save(nib.Nifti1Image(values, oblique, dtype=np.int64), tmp_path / "t1.nii")
    assert "rounded to 24 bits" in warnings_of(load_volume(tmp_path / "t1.nii"))


def test_nan_around_a_scan_is_background_and_inside_it_is_left_to_be_refused(tmp_path, oblique):
    values = np.ones((6, 5, 4), np.float32)
    values[0] = np.nan
    volume = load_volume(save(tmp_path / "ct.nii.gz", values, oblique))
    assert "20 voxels without a value (NaN) around it were set to -1024" in warnings_of(volume)
    np.testing.assert_array_equal(np.unique(volume.numpy()), [-1024, 1])
    values[3, 2, 2] = np.nan
    with pytest.raises(InputError, match="1 voxels are NaN"):
        require_scalar(load_volume(save(tmp_path / "ct.nii.gz", values, oblique)))
    with pytest.raises(InputError, match="no voxel has a value"):
        load_volume(save(tmp_path / "t1.nii", np.full((6, 5, 4), np.nan, np.float32), oblique))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
def test_all_48_axis_orders_of_one_head_are_one_canonical_volume(tmp_path, data, axes, flips):
    """The same head stored along other axes reads as the same voxels at the same places."""
    affine = oblique_affine(angles=(5, -8, 11), flips=(1, 1, 1))
    head = nib.Nifti1Image(data, affine)
    order = np.stack([axes, flips], axis=-1)
    nib.save(head.as_reoriented(order), tmp_path / "t1.nii.gz")
    volume = load_volume(tmp_path / "t1.nii.gz")
    canonical = nib.as_closest_canonical(to_nibabel(volume))
    np.testing.assert_array_equal(canonical.get_fdata(), data)
    np.testing.assert_allclose(canonical.affine, affine, atol=1e-4)


def test_a_sheared_affine_is_interpolated_onto_a_grid_at_right_angles(tmp_path, oblique):
    """Linear values survive it exactly, wherever the voxel lay in the file."""
    weights = np.array([2.0, 3.0, 5.0])
    sheared = oblique.copy()
    sheared[:3, 2] += 0.4 * sheared[:3, 1] - 0.3 * sheared[:3, 0]
    index = np.stack(np.meshgrid(*map(np.arange, (9, 8, 7)), indexing="ij"), axis=-1)
    values = 5000 + (index @ sheared[:3, :3].T + sheared[:3, 3]) @ weights
    image = nib.Nifti1Image(values.astype(np.float32), sheared)
    nib.save(image, tmp_path / "t1.nii.gz")
    volume = load_volume(tmp_path / "t1.nii.gz")
    grid = grid_of(volume)
    assert grid.is_orthogonal()
    assert "voxel axes sheared by" in warnings_of(volume)
    places = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    expected = 5000 + (places @ grid.affine_ras[:3, :3].T + grid.affine_ras[:3, 3]) @ weights
    found = volume.numpy()[0]
    inside = found != 0
    assert inside.sum() > 0.7 * values.size
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-4)
    # The grid holds all of the scan, and not more than it has to.
    to_grid = np.linalg.inv(grid.affine_ras) @ sheared
    scanned = (index @ to_grid[:3, :3].T + to_grid[:3, 3]).reshape(-1, 3)
    np.testing.assert_allclose(scanned.min(axis=0), 0, atol=1e-3)
    spare = np.array(grid.shape) - 1 - scanned.max(axis=0)
    assert (spare > -1e-3).all()
    assert (spare < 1).all()


def test_a_qform_is_used_where_the_sform_is_none(tmp_path, data, oblique):
    path = save(tmp_path / "t1.nii", data, oblique, qform=1, sform=1)
    raw = bytearray(path.read_bytes())
    raw[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    path.write_bytes(raw)
    volume = load_volume(path)
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-4)
    assert "qform used" in warnings_of(volume)


def _spoilt(path, fmt, offset, *values):
    held = bytearray(path.read_bytes())
    struct.pack_into(fmt, held, offset, *values)
    path.write_bytes(held)
    return path


def test_a_qform_that_is_no_rotation_is_told_where_the_sform_is_good(tmp_path, data, oblique):
    good = save(tmp_path / "t1.nii", data, oblique, sform=1, qform=1)
    volume = load_volume(_spoilt(good, "<3f", 256, 0.9, 0.9, 0.9))  # a quaternion of length 1.56
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-5)
    assert "the qform is no rotation" in warnings_of(volume)


def test_a_file_whose_one_form_is_no_rotation_is_refused(tmp_path, data, oblique):
    path = save(tmp_path / "t1.nii", data, oblique, qform=1, sform=1)
    _spoilt(_spoilt(path, "<3f", 256, 0.9, 0.9, 0.9), "<h", 254, 0)
    with pytest.raises(GeometryError, match="not finite"):
        load_volume(path)


def test_an_unknown_unit_of_length_is_told(tmp_path, data, oblique):
    path = _spoilt(save(tmp_path / "t1.nii", data, oblique, sform=1), "<B", 123, 5)
    volume = load_volume(path)
    np.testing.assert_allclose(affine_ras(volume), oblique, atol=1e-5)
    assert "no known unit of length" in warnings_of(volume)


def test_a_file_that_claims_more_than_any_memory_is_refused_before_it_is_taken(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((32767, 32767, 32767))
    header["magic"] = b"n+1"
    header.set_sform(np.eye(4), 1)
    (tmp_path / "t1.nii").write_bytes(header.binaryblock + bytes(10))
    with pytest.raises(InputError, match=r"a volume of 32767 x 32767 x 32767 .* the limit here"):
        load_volume(tmp_path / "t1.nii")


def test_the_header_of_a_pair_is_refused(tmp_path, data, oblique):
    nib.save(nib.Nifti1Pair(data, oblique), tmp_path / "t1.hdr")
    (tmp_path / "t1.hdr").rename(tmp_path / "t1.nii")
    with pytest.raises(InputError, match="without its image"):
        load_volume(tmp_path / "t1.nii")
