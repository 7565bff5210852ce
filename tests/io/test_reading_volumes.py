"""Series of several volumes: told apart, chosen by number, and never mixed or guessed."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from refinefuse_med.errors import GeometryError, InputError, UsageError
from refinefuse_med.io import inspect_path, load_volume
from refinefuse_med.volume import affine_lps, grid_of, source_of
from tests.io.corpus import (
    AXIAL,
    SAGITTAL,
    Scan,
    make_slice,
    pet_tags,
    stored,
    value_at,
    write_enhanced,
    write_nm,
    write_scan,
)
from tests.io.test_reading_geometry import ROUNDING, assert_values_are_in_place

STEP = 100.0
"""What each further volume of a series is brighter by."""


def brighter(scan: Scan, k: int, number: int) -> bytes:
    return stored(scan.plane(scan.position(k)) + STEP * number).tobytes()


def assert_is_volume(volume, scan: Scan, number: int) -> None:
    np.testing.assert_allclose(volume.numpy()[0], scan.truth() + STEP * number, atol=ROUNDING)


def write_times(folder, scan: Scan, tags, count: int = 3, skip=()) -> None:
    """One classic series of `count` volumes; `tags(number, k)` tells them apart."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(1).permutation(count * scan.slices)
    for number in range(count):
        for k in range(scan.slices):
            if (number, k) in skip:
                continue
            ds = make_slice(scan, k)
            ds.PixelData = brighter(scan, k, number)
            for name, value in tags(number, k).items():
                setattr(ds, name, value)
            ds.save_as(folder / f"{names[number * scan.slices + k]:03d}.dcm")


KINDS = {
    "echoes": (lambda n, k: {"EchoTime": 10.0 * (n + 1)}, "echo time 20 ms"),
    "b-values": (lambda n, k: {"DiffusionBValue": 500.0 * n}, "b = 500 s/mm2"),
    "PET frames": (
        lambda n, k: {"FrameReferenceTime": 3000.0 * n, "AcquisitionTime": f"11{n:02d}00"},
        "at 3 s",
    ),
    "time points": (
        # Each slice has a time of its own, as in functional MR.
        lambda n, k: {"TemporalPositionIdentifier": n + 1, "AcquisitionTime": f"11{n:02d}{k:02d}"},
        "time point 2",
    ),
    "kinds": (
        lambda n, k: {"ImageType": ["ORIGINAL", "PRIMARY", "MPR"[n]]},
        "ORIGINAL/PRIMARY/P",
    ),
    "order alone": (
        lambda n, k: {"InstanceNumber": 5 * n + k, "AcquisitionTime": f"11{n:02d}{k:02d}"},
        "image 2 at each place",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_of_one_series_are_told_apart_and_chosen_by_number(tmp_path, kind):
    tags, label = KINDS[kind]
    scan = Scan()
    write_times(tmp_path, scan, tags)
    (entry,) = inspect_path(tmp_path).series
    assert entry.shape == (scan.columns, scan.rows, scan.slices, 3)
    assert not entry.usable
    assert label in entry.volumes
    for name in entry.volumes:
        number = entry.volumes.index(name)
        volume = load_volume(tmp_path, series_uid=f"{scan.series_uid}#{number + 1}")
        # Kinds are sorted by name: M, P, R.
        assert_is_volume(volume, scan, "MPR".index(name[-1]) if kind == "kinds" else number)
        assert len(source_of(volume).datasets) == scan.slices
        assert f"volume {number + 1} of 3" in " ".join(source_of(volume).warnings)
    guessed = any("by the order of their images alone" in w for w in source_of(volume).warnings)
    assert guessed is (kind == "order alone")


def test_none_of_several_volumes_is_taken_unasked(tmp_path):
    scan = Scan()
    write_times(tmp_path, scan, KINDS["echoes"][0])
    with pytest.raises(InputError, match=r"3 volumes in one series \(echo time 10 ms; .*UID|#1"):
        load_volume(tmp_path)
    with pytest.raises(InputError, match="no volume 4 in a series of 3"):
        load_volume(tmp_path, series_uid="#4")
    with pytest.raises(UsageError, match="UID#N"):
        load_volume(tmp_path, series_uid=f"{scan.series_uid}#two")
    assert_is_volume(load_volume(tmp_path, series_uid="#2"), scan, 1)


def test_directions_within_one_b_value_are_volumes_of_their_own(tmp_path):
    scan = Scan()

    def tags(n, k):
        if n == 0:
            return {"DiffusionBValue": 0.0}
        return {
            "DiffusionBValue": 1000.0,
            "DiffusionGradientOrientation": [1.0 * (n == 1), 1.0 * (n == 2), 0.0],
        }

    write_times(tmp_path, scan, tags)
    (entry,) = inspect_path(tmp_path).series
    assert entry.volumes[0] == "b = 0 s/mm2"
    assert entry.shape[-1] == 3
    assert_is_volume(load_volume(tmp_path, series_uid="#1"), scan, 0)


def test_a_time_point_with_a_missing_slice_does_not_spoil_the_others(tmp_path):
    scan = Scan()
    write_times(tmp_path, scan, KINDS["PET frames"][0], skip={(1, 2)})
    (entry,) = inspect_path(tmp_path).series
    assert entry.shape[-1] == 2
    assert any("1 of 3 volumes" in w and "gap of" in w for w in entry.warnings)
    assert_is_volume(load_volume(tmp_path, series_uid="#2"), scan, 2)


def test_pet_frames_share_the_start_of_the_whole_scan(tmp_path):
    """Values corrected to START refer to the first frame, also in a volume of the last."""
    scan = Scan(modality="PT", tags=pet_tags(SeriesTime="143000"))
    write_times(
        tmp_path,
        scan,
        lambda n, k: {"FrameReferenceTime": 6e5 * n, "AcquisitionTime": f"11{10 * n:02d}00"},
    )
    factor = 70_000 / (2e8 * 2 ** (-3600 / 6586.2))
    volume = load_volume(tmp_path, series_uid="#3")
    np.testing.assert_allclose(
        volume.numpy()[0], (scan.truth() + 2 * STEP) * factor, atol=ROUNDING * factor
    )


def test_an_image_stored_twice_under_two_uids_is_taken_once(tmp_path):
    scan = Scan()
    write_scan(tmp_path, scan)
    make_slice(scan, 2).save_as(tmp_path / "again.dcm")
    volume = load_volume(tmp_path)
    assert_is_volume(volume, scan, 0)
    assert any("stored twice" in w for w in source_of(volume).warnings)


def enhanced_times(path, scan: Scan, name: str):
    """An enhanced object of two volumes whose frames are shuffled; one dimension tells them."""
    order = [(k, n) for k in range(scan.slices) for n in (1, 0)]
    write_enhanced(path, scan, [k for k, _ in order])
    ds = dcmread(path)
    for (k, number), groups in zip(order, ds.PerFrameFunctionalGroupsSequence, strict=True):
        item = Dataset()
        if name == "EffectiveEchoTime":
            item.EffectiveEchoTime = 15.0 * (number + 1)
            groups.MREchoSequence = Sequence([item])
        elif name == "TemporalPositionIndex":
            item.TemporalPositionIndex = number + 1
            groups.FrameContentSequence = Sequence([item])
        else:
            item.DimensionIndexValues = [k + 1, number + 1]
            groups.FrameContentSequence = Sequence([item])
    if name == "DimensionIndexValues":
        pointers = []
        for tag in (0x00209057, 0x00189079):  # position in the stack, inversion times
            pointer = Dataset()
            pointer.DimensionIndexPointer = tag
            pointers.append(pointer)
        ds.DimensionIndexSequence = Sequence(pointers)
    ds.PixelData = b"".join(brighter(scan, k, n) for k, n in order)
    ds.save_as(path)
    return path


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("EffectiveEchoTime", "echo time 30 ms"),
        ("TemporalPositionIndex", "time point 2"),
        ("DimensionIndexValues", "InversionTimes 2"),
    ],
)
def test_volumes_of_an_enhanced_object_are_told_apart(tmp_path, name, label):
    scan = Scan()
    path = enhanced_times(tmp_path / "e.dcm", scan, name)
    (entry,) = inspect_path(path).series
    assert entry.volumes[1] == label
    for number in (0, 1):
        assert_is_volume(load_volume(path, series_uid=f"#{number + 1}"), scan, number)


def test_enhanced_frames_that_nothing_tells_apart_go_by_their_order(tmp_path):
    path = write_enhanced(tmp_path / "e.dcm", Scan(slices=3), [0, 0, 1, 1, 2, 2])
    volume = load_volume(path, series_uid="#2")
    assert_values_are_in_place(volume)
    assert any("order of their images alone" in w for w in source_of(volume).warnings)


def test_gated_nm_is_divided_by_its_time_slots(tmp_path):
    scan = Scan(modality="NM")
    frames = [(slot, k) for slot in (1, 2) for k in range(scan.slices)]
    path = write_nm(
        tmp_path / "nm.dcm",
        scan,
        ImageType=["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"],
        NumberOfFrames=len(frames),
        SliceVector=[k + 1 for _, k in frames],
        TimeSlotVector=[slot for slot, _ in frames],
        PixelData=b"".join(brighter(scan, k, slot - 1) for slot, k in frames),
    )
    (entry,) = inspect_path(path).series
    assert entry.volumes == ("time slot 1", "time slot 2")
    assert_is_volume(load_volume(path, series_uid="#2"), scan, 1)


def nm_slices(folder, scan: Scan, detector: bool):
    for k in range(scan.slices):
        one = Scan(
            **{**vars(scan), "slices": 1, "origin": tuple(float(v) for v in scan.position(k))}
        )
        write_nm(folder / f"{k}.dcm", one, detector=detector, InstanceNumber=k + 1)


def test_nm_slices_in_files_of_their_own_are_all_read(tmp_path):
    scan = Scan(modality="NM")
    nm_slices(tmp_path, scan, detector=True)
    assert_is_volume(load_volume(tmp_path), scan, 0)


def test_nm_slices_in_files_of_their_own_without_positions_are_refused(tmp_path):
    nm_slices(tmp_path, Scan(modality="NM"), detector=False)
    with pytest.raises(GeometryError, match="no ImagePositionPatient"):
        load_volume(tmp_path)


def test_uneven_slices_are_interpolated_to_the_finest_distance(tmp_path):
    """Wide slices above finely cut ones, in a tilted gantry: linear values survive exactly."""
    places = np.array([0.0, 1, 2, 3, 4, 6, 8, 10, 12])
    scan = Scan("CT", slices=9, spacing=(1.5, 2.25, 2.5), orientation=AXIAL, origin=(0, 0, 0))
    drift = np.array([0.0, np.tan(np.radians(15)) * scan.spacing[2], 0.0])
    weights = np.array([2.0, 3.0, 5.0])

    def move(ds, k):
        position = scan.position(places[k]) + places[k] * drift
        j, i = np.mgrid[: scan.rows, : scan.columns]
        affine = scan.affine_lps
        points = position + i[..., None] * affine[:3, 0] + j[..., None] * affine[:3, 1]
        ds.ImagePositionPatient = [round(float(v), 9) for v in position]
        ds.PixelData = stored(points @ weights).tobytes()

    write_scan(tmp_path, scan, move)
    volume = load_volume(tmp_path)
    grid = grid_of(volume)
    assert grid.shape[2] == 13
    assert grid.spacing_mm == pytest.approx(scan.spacing)
    said = " ".join(source_of(volume).warnings)
    assert "slice distances from 2.500 to 5.000 mm were interpolated to 2.500 mm" in said
    assert "tilted by 15.0 degrees" in said
    assert len(source_of(volume).datasets) == 13
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    lps = affine_lps(volume)
    expected = (index @ lps[:3, :3].T + lps[:3, 3]) @ weights
    values = volume.numpy()[0]
    # A row that one of two slices has not is mixed with air.
    inside = values > -1
    assert inside.mean() > 0.5
    np.testing.assert_allclose(values[inside], expected[inside], atol=0.03)


def test_one_slice_out_of_step_is_interpolated(tmp_path):
    def move(ds, k):
        ds.ImagePositionPatient[2] += 1.0 if k == 2 else 0.0
        ds.PixelData = stored(scan.plane(np.array(ds.ImagePositionPatient, float))).tobytes()

    scan = Scan(orientation=AXIAL)
    write_scan(tmp_path, scan, move)
    volume = load_volume(tmp_path)
    assert any("from 3.000 to 5.000 mm were interpolated" in w for w in source_of(volume).warnings)
    assert_values_are_in_place(volume)


def test_small_deviations_to_one_side_do_not_add_up(tmp_path):
    """Each distance deviates by 8 %, which is let pass; the middle is half a slice off."""
    heights = np.concatenate([[0], np.cumsum([3.68] * 10 + [4.32] * 10)])
    scan = Scan(orientation=AXIAL, slices=21)

    def move(ds, k):
        ds.ImagePositionPatient[2] = scan.origin[2] + heights[k]
        ds.PixelData = stored(scan.plane(np.array(ds.ImagePositionPatient, float))).tobytes()

    write_scan(tmp_path, scan, move)
    volume = load_volume(tmp_path)
    assert any("were interpolated" in w for w in source_of(volume).warnings)
    assert_values_are_in_place(volume)


def test_uneven_slices_far_apart_are_refused(tmp_path):
    scan = Scan(orientation=AXIAL, spacing=(1.5, 2.25, 12.0))

    def move(ds, k):
        ds.ImagePositionPatient[2] += 3.0 if k == 2 else 0.0

    write_scan(tmp_path, scan, move)
    with pytest.raises(GeometryError, match=r"uneven slice distances from 9.000 to 15.000 mm"):
        load_volume(tmp_path)


def test_missing_slices_are_interpolated_where_it_is_allowed(tmp_path):
    scan = Scan(orientation=AXIAL, slices=9)
    paths = write_scan(tmp_path, scan)
    for gone in (2, 5, 6):
        paths[gone].unlink()
    with pytest.raises(GeometryError, match=r"1 missing, and 1 more gaps.*--allow-gaps"):
        load_volume(tmp_path)
    volume = load_volume(tmp_path, allow_gaps=True)
    np.testing.assert_allclose(affine_lps(volume), scan.affine_lps, atol=1e-6)
    assert_is_volume(volume, scan, 0)  # linear along the normal
    assert any("3 missing slices were interpolated" in w for w in source_of(volume).warnings)


def test_the_corpus_values_are_linear_along_an_axial_normal():
    points = np.array([[3.0, 4.0, z] for z in (0.0, 1.0, 2.0)])
    assert np.ptp(np.diff(value_at(points))) < 1e-9


def test_voxel_sizes_that_round_to_two_sides_are_one_stack(tmp_path):
    """0.48825 lies between two values of four decimals; a part of the slices was left out."""
    sizes = [0.4882499999, 0.4882500001]
    scan = Scan(spacing=(0.48825, 0.48825, 4.0))
    write_scan(tmp_path, scan, lambda ds, k: setattr(ds, "PixelSpacing", [sizes[k % 2]] * 2))
    assert_values_are_in_place(load_volume(tmp_path))
    assert len(inspect_path(tmp_path).series) == 1


def test_echoes_of_two_orientations_in_one_object_are_told_apart(tmp_path):
    sagittal, axial = Scan(orientation=SAGITTAL, slices=4), Scan(orientation=AXIAL, slices=3)
    path = enhanced_times(tmp_path / "e.dcm", sagittal, "EffectiveEchoTime")
    other = dcmread(enhanced_times(tmp_path / "other.dcm", axial, "EffectiveEchoTime"))
    both = dcmread(path)
    for groups in other.PerFrameFunctionalGroupsSequence:
        both.PerFrameFunctionalGroupsSequence.append(groups)
    both.NumberOfFrames = 14
    both.PixelData += other.PixelData
    both.save_as(path)
    (entry,) = inspect_path(path).series
    assert entry.volumes == tuple(
        f"orientation {n}, echo time {t} ms" for n in (1, 2) for t in (15, 30)
    )
    assert_is_volume(load_volume(path, series_uid="#4"), axial, 1)
