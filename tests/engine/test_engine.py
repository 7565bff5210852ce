"""The engine: same result whatever the grid's orientation, the batches, and the memory."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, slicewise
from refinefuse_med.engine import engine as engine_module
from refinefuse_med.errors import CancelledError, DeviceError, DeviceMemoryError, GeometryError
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import Monitor

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
PLANES = ("axial", "coronal", "sagittal", "triplanar")


def _engine(model, **config) -> Engine:
    return Engine(model, EngineConfig(device="cpu", **config))


@pytest.mark.parametrize("plane", PLANES)
def test_a_rule_without_neighbours_is_applied_to_every_voxel(brighter, sources, plane):
    result = _engine(brighter, plane=plane).fuse(*sources, AFFINE)
    torch.testing.assert_close(result.fused, torch.maximum(*sources), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.contribution.sum(0), result.fused, atol=1e-6, rtol=0)
    anatomical_wins = sources[0] > sources[1]
    assert float(result.contribution[1][anatomical_wins].abs().max()) == 0
    assert result.fused.dtype == torch.float32
    assert result.fused.is_contiguous()


@pytest.mark.parametrize(
    ("plane", "shape"),
    [("axial", (9, 15, 12)), ("coronal", (15, 9, 12)), ("sagittal", (12, 9, 15))],
)
def test_the_network_sees_the_slices_of_the_plane(brighter, sources, plane, shape):
    result = _engine(brighter, plane=plane, batch_size=99).fuse(*sources, AFFINE)
    assert brighter.seen == [(shape[0], 1, *shape[1:])]
    assert result.slices == shape[0]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "IAL"])
def test_turning_the_input_turns_the_result_and_changes_nothing(
    directional, sources, oblique, plane, codes
):
    engine = _engine(directional, plane=plane)
    expected = engine.fuse(*sources, oblique)

    def turned(volume: torch.Tensor) -> nib.Nifti1Image:
        image = nib.Nifti1Image(volume.numpy(), oblique)
        change = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(oblique), nib.orientations.axcodes2ornt(codes)
        )
        return image.as_reoriented(change)

    inputs = [turned(volume) for volume in sources]
    data = [torch.from_numpy(np.array(image.dataobj)) for image in inputs]
    result = engine.fuse(*data, inputs[0].affine)
    assert torch.equal(result.fused, torch.from_numpy(np.array(turned(expected.fused).dataobj)))
    for part, whole in zip(result.contribution, expected.contribution, strict=True):
        assert torch.equal(part, torch.from_numpy(np.array(turned(whole).dataobj)))


def test_the_network_sees_the_patient_the_right_way_up(directional, sources):
    # LPS, seen axially: rows are J, columns are I.
    result = _engine(directional).fuse(*sources, AFFINE)
    a, f = (volume[:, :, 4].T[None, None] for volume in sources)
    torch.testing.assert_close(result.fused[:, :, 4].T, directional(a, f)[0, 0])


def test_triplanar_is_the_mean_of_the_three_planes(directional, sources, oblique):
    single = [_engine(directional, plane=p).fuse(*sources, oblique).fused for p in PLANES[:3]]
    result = _engine(directional, plane="triplanar").fuse(*sources, oblique)
    torch.testing.assert_close(result.fused, sum(single) / 3, atol=1e-6, rtol=0)
    torch.testing.assert_close(result.contribution.sum(0), result.fused, atol=1e-6, rtol=0)
    assert result.slices == 9 + 15 + 12


@pytest.mark.parametrize("batch_size", [0, 1, 2, 4, 9])
def test_the_batch_size_does_not_change_the_result(sources, batch_size):
    torch.manual_seed(0)
    model = RefineFuse()
    expected = _engine(model, batch_size=3).fuse(*sources, AFFINE)
    result = _engine(model, batch_size=batch_size).fuse(*sources, AFFINE)
    torch.testing.assert_close(result.fused, expected.fused, atol=1e-6, rtol=0)
    torch.testing.assert_close(result.contribution, expected.contribution, atol=1e-6, rtol=0)


def test_slices_that_are_black_in_both_are_skipped_and_stay_black(brighter, sources):
    anatomical, functional = (volume.clone() for volume in sources)
    anatomical[:, :, :4] = 0
    functional[:, :, 2:6] = 0
    result = _engine(brighter).fuse(anatomical, functional, AFFINE)
    assert (result.slices, result.skipped) == (7, 2)
    assert float(result.fused[:, :, 2:4].abs().max()) == 0
    assert torch.equal(result.fused, torch.maximum(anatomical, functional))


def test_outside_the_field_of_view_the_anatomy_is_unchanged(directional, sources):
    anatomical, functional = sources
    seen = torch.zeros_like(anatomical, dtype=torch.bool)
    seen[3:9, 4:12, 5:] = True
    engine = _engine(directional)
    result = engine.fuse(anatomical, functional, AFFINE, field_of_view=seen)
    assert torch.equal(result.fused[~seen], anatomical[~seen])
    assert torch.equal(result.contribution[0][~seen], anatomical[~seen])
    assert float(result.contribution[1][~seen].abs().max()) == 0
    assert torch.equal(result.fused[seen], engine.fuse(*sources, AFFINE).fused[seen])
    assert (result.slices, result.skipped) == (4, 5)


def test_a_field_of_view_that_misses_the_patient_leaves_the_anatomy(brighter, sources):
    nowhere = torch.zeros_like(sources[0], dtype=torch.bool)
    result = _engine(brighter).fuse(*sources, AFFINE, field_of_view=nowhere)
    assert torch.equal(result.fused, sources[0])
    assert (result.slices, result.batch_size) == (0, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_volumes_with_metadata_give_plain_contiguous_results(brighter, sources, order):
    affine = AFFINE.copy()
    affine[:, :3] = affine[:, order]
    volumes = [MetaTensor(volume, affine=torch.from_numpy(affine)) for volume in sources]
    result = _engine(brighter).fuse(*volumes, volumes[0].affine)
    assert type(result.fused) is type(result.contribution) is torch.Tensor
    assert result.fused.is_contiguous()
    assert result.contribution.is_contiguous()


def test_sources_are_not_changed(directional, sources):
    before = [volume.clone() for volume in sources]
    _engine(directional).fuse(*sources, AFFINE)
    assert all(torch.equal(x, y) for x, y in zip(before, sources, strict=True))


class Cramped(torch.nn.Module):
    """Holds so many slices and no more."""

    def __init__(self, inner: torch.nn.Module, room: int, error: Exception) -> None:
        super().__init__()
        self.inner, self.room, self.error = inner, room, error

    def with_contribution(self, anatomical, functional):
        if len(anatomical) > self.room:
            raise self.error
        return self.inner.with_contribution(anatomical, functional)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB, max allowed: 9.1 GB)."),
    ],
)
def test_when_memory_is_full_smaller_batches_give_the_same_result(directional, sources, error):
    expected = _engine(directional).fuse(*sources, AFFINE)
    result = _engine(Cramped(directional, 2, error), batch_size=9).fuse(*sources, AFFINE)
    torch.testing.assert_close(result.fused, expected.fused, atol=1e-6, rtol=0)
    assert result.batch_size == 2
    assert "9 slices at a time: went on with 4" in result.warnings[0]
    assert "4 slices at a time: went on with 2" in result.warnings[1]


def test_a_slice_that_does_not_fit_is_an_error_that_says_so(directional, sources):
    cramped = Cramped(directional, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(DeviceError, match="cpu: a single slice of 15 x 12 does not fit"):
        _engine(cramped).fuse(*sources, AFFINE)


def test_other_errors_of_the_network_are_not_hidden(directional, sources):
    with pytest.raises(RuntimeError, match="broken"):
        _engine(Cramped(directional, 0, RuntimeError("broken"))).fuse(*sources, AFFINE)


def test_progress_rises_to_one_over_all_planes(brighter, sources):
    told: list[tuple[str, float]] = []
    monitor = Monitor(on_progress=lambda stage, fraction: told.append((stage, fraction)))
    _engine(brighter, plane="triplanar", batch_size=4).fuse(*sources, AFFINE, monitor)
    fractions = [fraction for _, fraction in told]
    assert {stage for stage, _ in told} == {"fuse"}
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(set(fractions)) > 8


def test_a_request_to_stop_is_heeded_between_batches(brighter, sources):
    monitor = Monitor(is_cancelled=lambda: len(brighter.seen) >= 2)
    with pytest.raises(CancelledError):
        _engine(brighter, batch_size=1).fuse(*sources, AFFINE, monitor)
    assert len(brighter.seen) < 9


def test_volumes_of_different_shape_are_refused(brighter, sources):
    with pytest.raises(GeometryError, match=r"\(12, 15, 9\) and \(12, 15, 8\)"):
        _engine(brighter).fuse(sources[0], sources[1][:, :, :8], AFFINE)


def test_an_absent_device_is_refused_before_any_work(brighter):
    if torch.cuda.device_count() > 31:
        pytest.skip("this machine has that many GPUs")
    with pytest.raises(DeviceError, match="cuda:31"):
        Engine(brighter, EngineConfig(device="cuda:31"))


def test_pictures_are_fused_as_they_are(directional, sources):
    result = _engine(directional, batch_size=5).fuse_slices(*sources)
    torch.testing.assert_close(
        result.fused, directional(sources[0][:, None], sources[1][:, None])[:, 0]
    )
    assert result.contribution.shape == (2, 12, 15, 9)
    assert result.slices == 12


@pytest.mark.parametrize(("free", "expected"), [(None, 9), (800 * 180 * 2 * 5, 5), (1, 1)])
def test_batches_fit_into_the_memory_that_is_free(monkeypatch, brighter, sources, free, expected):
    monkeypatch.setattr(slicewise, "free_memory", lambda _: free)
    assert _engine(brighter).fuse(*sources, AFFINE).batch_size == (
        2**16 // 180 if free is None else expected
    )
    assert max(size[0] for size in brighter.seen) == expected


def test_a_failing_device_is_told_and_not_taken_for_a_full_one(directional, sources):
    broken = Cramped(directional, 0, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(DeviceError, match=r"cpu: the device failed .*; run again, or with"):
        _engine(broken).fuse(*sources, AFFINE)


def test_a_volume_whose_memory_others_took_is_sent_in_batches(monkeypatch, directional, sources):
    engine = _engine(directional)
    expected = engine.fuse(*sources, AFFINE)
    kept, fuse_at = [], Engine._fuse_at

    def cramped(self, home, *rest):
        kept.append(home.type)
        if home.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fuse_at(self, home, *rest)

    monkeypatch.setattr(Engine, "_fuse_at", cramped)
    monkeypatch.setattr(engine, "home_of", lambda _: torch.device("meta"))
    result = engine.fuse(*sources, AFFINE)
    assert kept == ["meta", "cpu"]
    assert torch.equal(result.fused, expected.fused)
    assert "too small for the volume: slices were sent in batches" in result.warnings[-1]


def test_a_device_without_room_for_anything_is_an_error_that_says_so(
    monkeypatch, brighter, sources
):
    engine = _engine(brighter)
    engine.device = torch.device("meta")  # is not the CPU, and need not be there
    tried = []

    def full(self, home, *rest):
        tried.append(home.type)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Engine, "_fuse_at", full)
    monkeypatch.setattr(engine, "home_of", lambda _: engine.device)
    with pytest.raises(DeviceMemoryError, match=r"^meta: its memory is full; close what else"):
        engine.fuse(*sources, AFFINE)
    assert tried == ["meta", "cpu"]


def test_a_volume_stays_on_a_device_with_room_for_it(monkeypatch, brighter):
    engine = _engine(brighter)
    engine.device = torch.device("cuda:0")
    for free, home in ((10**9, "cuda"), (10**6, "cpu")):
        monkeypatch.setattr(engine_module, "free_memory", lambda _, free=free: free)
        assert engine.home_of(10**6).type == home
