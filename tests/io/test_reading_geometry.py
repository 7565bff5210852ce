"""Whatever the order and orientation of the slices, each value is where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io import load_volume
from refinefuse_med.volume import Keys, affine_lps, grid_of, source_of
from tests.io.corpus import (
    AXIAL,
    OBLIQUE,
    SAGITTAL,
    Scan,
    make_slice,
    stored,
    value_at,
    write_enhanced,
    write_nm,
    write_scan,
)

ROUNDING = 0.026  # half a stored step
WEIGHTS = np.array([2.0, 3.0, 5.0])
ORIENTATIONS = {
    "axial": AXIAL,
    "oblique": OBLIQUE,
    "sagittal": SAGITTAL,
    "head down": np.array([1.0, 0, 0, 0, -1, 0]),
}


def assert_values_are_in_place(volume) -> None:
    """Ask each voxel's affine where it is, and compare its value with that of the place."""
    grid = grid_of(volume)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    lps = affine_lps(volume)
    places = index @ lps[:3, :3].T + lps[:3, 3]
    np.testing.assert_allclose(volume.numpy()[0], value_at(places), atol=ROUNDING)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_values_lie_where_the_headers_say(tmp_path, name):
    scan = Scan(orientation=ORIENTATIONS[name])
    write_scan(tmp_path, scan)
    volume = load_volume(tmp_path)
    assert volume.shape == (1, scan.columns, scan.rows, scan.slices)
    np.testing.assert_allclose(affine_lps(volume), scan.affine_lps, atol=1e-6)
    assert_values_are_in_place(volume)


def test_slices_are_ordered_along_the_normal_not_by_instance_number(tmp_path):
    scan = Scan()

    def shuffle(ds, k):
        ds.InstanceNumber = [3, 1, 5, 2, 4][k]

    write_scan(tmp_path, scan, shuffle)
    assert_values_are_in_place(load_volume(tmp_path))


def test_headers_come_in_the_order_of_the_slices(tmp_path):
    scan = Scan()
    write_scan(tmp_path, scan)
    volume = load_volume(tmp_path)
    headers = source_of(volume).datasets
    for k, header in enumerate(headers):
        np.testing.assert_allclose(header.ImagePositionPatient, scan.position(k), atol=1e-6)
        assert "PixelData" not in header
    assert len(headers) == scan.slices
    assert volume.meta[Keys.FRAME_OF_REFERENCE_UID] == scan.frame_of_reference_uid
    assert volume.meta[Keys.SERIES_INSTANCE_UID] == scan.series_uid


def test_enhanced_frames_are_placed_each_by_its_own_position(tmp_path):
    path = write_enhanced(tmp_path / "e.dcm", Scan(), [3, 0, 4, 1, 2])
    volume = load_volume(path)
    assert_values_are_in_place(volume)
    assert len(source_of(volume).datasets) == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_nm_frames_are_stacked_by_the_sign_of_their_spacing(tmp_path, sign):
    path = write_nm(tmp_path / "nm.dcm", Scan(modality="NM"), sign)
    volume = load_volume(path)
    assert volume.meta[Keys.UNITS] == "counts"
    assert_values_are_in_place(volume)


def test_nm_without_a_position_says_what_it_assumes(tmp_path):
    scan = Scan(modality="NM")
    volume = load_volume(write_nm(tmp_path / "nm.dcm", scan, detector=False))
    warnings = " ".join(source_of(volume).warnings)
    assert "no ImageOrientationPatient" in warnings
    assert "centred on the origin" in warnings
    np.testing.assert_allclose(grid_of(volume).center_ras, 0, atol=1e-9)


@pytest.mark.parametrize("kind", ["STATIC", "WHOLE BODY", "TOMO", "RECON GATED TOMO"])
def test_nm_that_is_no_reconstructed_volume_is_refused(tmp_path, kind):
    path = write_nm(
        tmp_path / "nm.dcm",
        Scan(modality="NM"),
        ImageType=["ORIGINAL", "PRIMARY", kind, "EMISSION"],
    )
    with pytest.raises(InputError, match=kind):
        load_volume(path)


def test_a_missing_slice_is_refused_and_its_place_named(tmp_path):
    paths = write_scan(tmp_path, Scan(orientation=AXIAL))
    paths[2].unlink()
    with pytest.raises(GeometryError, match=r"gap of 8.00 mm .* -40.00 and -32.00 mm .*1 missing"):
        load_volume(tmp_path)


@pytest.mark.parametrize(("jitter", "warned"), [(0.02, False), (0.2, True)])
def test_slice_distances_may_jitter_a_little(tmp_path, jitter, warned):
    scan = Scan(orientation=AXIAL)

    def move(ds, k):
        if k == 2:
            ds.ImagePositionPatient[2] += jitter

    write_scan(tmp_path, scan, move)
    volume = load_volume(tmp_path)
    assert grid_of(volume).spacing_mm == pytest.approx(scan.spacing)
    assert any("slice distances" in w for w in source_of(volume).warnings) is warned


def test_slices_off_their_line_are_refused(tmp_path):
    def move(ds, k):
        ds.ImagePositionPatient[0] += 3.0 if k == 2 else 0.0

    write_scan(tmp_path, Scan(orientation=AXIAL), move)
    with pytest.raises(GeometryError, match="one line"):
        load_volume(tmp_path)


@pytest.mark.parametrize("degrees", [20, -12])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_tilted_gantry_is_set_upright(tmp_path, degrees, axis):
    """The shifts are no whole voxels, so the values must be linear to survive interpolation."""
    scan = Scan(modality="CT", slices=6)
    drift = scan.orientation[3 * axis :][:3] * np.tan(np.radians(degrees)) * scan.spacing[2]

    def tilt(ds, k):
        position = scan.position(k) + k * drift
        ds.ImagePositionPatient = [round(float(v), 9) for v in position]
        ds.PixelData = stored(linear(scan, position)).tobytes()

    def linear(scan, position):
        j, i = np.mgrid[: scan.rows, : scan.columns]
        affine = scan.affine_lps
        return (position + i[..., None] * affine[:3, 0] + j[..., None] * affine[:3, 1]) @ WEIGHTS

    write_scan(tmp_path, scan, tilt)
    volume = load_volume(tmp_path)
    grid = grid_of(volume)
    assert grid.is_orthogonal()
    assert grid.spacing_mm == pytest.approx(scan.spacing)
    assert any(f"tilted by {abs(degrees)}.0 degrees" in w for w in source_of(volume).warnings)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    lps = affine_lps(volume)
    expected = (index @ lps[:3, :3].T + lps[:3, 3]) @ WEIGHTS
    values = volume.numpy()[0]
    inside = values != -1024
    np.testing.assert_allclose(values[inside], expected[inside], atol=0.03)
    # Nothing of a slice is lost but what falls between its outermost voxels and the grid's.
    assert inside.sum(axis=(0, 1)).min() >= (scan.columns - 1) * (scan.rows - 1)


def test_another_image_at_one_position_is_refused(tmp_path):
    scan = Scan()
    write_scan(tmp_path, scan)
    other = make_slice(scan, 2)
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "again.dcm")
    with pytest.raises(InputError, match="6 images at 5 positions"):
        load_volume(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImageOrientationPatient", None, "no ImageOrientationPatient"),
        ("PixelSpacing", None, "no PixelSpacing"),
        ("PixelSpacing", [0, 0], "0 x 0 mm is not possible"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.8660254, 0], "right angles"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "unit vectors"),
    ],
)
def test_geometry_is_never_invented(tmp_path, keyword, value, message):
    write_scan(tmp_path, Scan(), lambda ds, k: setattr(ds, keyword, value))
    with pytest.raises(GeometryError, match=message):
        load_volume(tmp_path)


def test_a_single_slice_gets_its_thickness_and_a_warning(tmp_path):
    scan = Scan(slices=1)
    write_scan(tmp_path, scan)
    volume = load_volume(tmp_path)
    assert grid_of(volume).spacing_mm == pytest.approx(scan.spacing)
    assert any("single slice" in w for w in source_of(volume).warnings)
