"""Slices side by side on the threads of a CPU: the same bits, and a polite guest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident
from threading import Lock as ThreadLock

import numpy as np
import pytest
import torch

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, slicewise
from refinefuse_med.engine.threads import lanes
from refinefuse_med.errors import CancelledError, DeviceError
from refinefuse_med.network import Architecture, RefineFuse
from refinefuse_med.progress import Monitor

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def _fuse(model, sources, monitor=None, **config):
    engine = Engine(model, EngineConfig(device="cpu", **config))
    return engine.fuse(*sources, AFFINE, monitor or Monitor())


class Watched(torch.nn.Module):
    """The mean of both sources; knows who called it, and how many were at work together."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.at_work, self.most, self.calls = ThreadLock(), 0, 0, 0
        self.callers: set[tuple[int, int]] = set()

    def with_contribution(self, anatomical, functional):
        with self.lock:
            self.calls += 1
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.callers.add((get_ident(), torch.get_num_threads()))
        try:
            return self.work(anatomical, functional)
        finally:
            with self.lock:
                self.at_work -= 1

    def work(self, anatomical, functional):
        parts = torch.cat([anatomical, functional], dim=1) / 2
        return parts.sum(dim=1, keepdim=True), parts


class Together(Watched):
    """Goes on only when as many threads have come."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.barrier = Barrier(count)

    def work(self, anatomical, functional):
        self.barrier.wait(timeout=30)
        return super().work(anatomical, functional)


class Full(Watched):
    """Memory for one slice at a time, as long as others are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier, self.met = Barrier(2, self._meet), False

    def _meet(self) -> None:
        self.met = True

    def work(self, anatomical, functional):
        # Both are at work, and one of the two finds the memory full.
        if not self.met and self.barrier.wait(timeout=30) == 0:
            raise MemoryError
        return super().work(anatomical, functional)


@pytest.mark.parametrize("plane", ["axial", "triplanar"])
def test_the_number_of_threads_changes_no_bit(threads, plane):
    torch.manual_seed(0)
    model = RefineFuse(Architecture(widths=(4, 6, 8), heads=2))
    sources = torch.rand(2, 37, 41, 23)
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        results.append(_fuse(model, sources, plane=plane))
    for result in results[1:]:
        assert torch.equal(result.fused, results[0].fused)
        assert torch.equal(result.contribution, results[0].contribution)
        assert result.slices == results[0].slices


def test_each_thread_computes_alone_and_all_of_them_at_once(threads, sources):
    threads(3)
    model = Together(3)
    _fuse(model, sources, batch_size=1)
    assert {count for _, count in model.callers} == {1}
    assert len(model.callers) == model.most == 3


def test_there_are_no_more_threads_than_batches(threads, sources):
    threads(8)
    model = Together(3)
    _fuse(model, sources, batch_size=3)
    assert model.most == 3


def test_what_is_at_work_together_is_bounded(threads, sources, monkeypatch):
    threads(8)
    pixels = sources[0][:, :, 0].numel()
    monkeypatch.setattr(slicewise, "_PIXELS_SIDE_BY_SIDE", 2 * pixels + 1)
    model = Watched()
    _fuse(model, sources, batch_size=1)
    assert model.most <= 2
    monkeypatch.setattr(slicewise, "_PIXELS_SIDE_BY_SIDE", pixels - 1)
    model = Watched()
    _fuse(model, sources, batch_size=1)
    assert model.most == len(model.callers) == 1


def test_one_thread_of_pytorch_is_one_thread_here(threads, sources):
    # So it is in a worker of a DataLoader, and in one of the batch.
    threads(1)
    model = Watched()
    _fuse(model, sources, batch_size=1)
    assert model.callers == {(get_ident(), 1)}


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_number_of_threads_is_left_as_it_was(threads, fails):
    threads(5)
    try:
        with lanes(2) as executors:
            assert torch.get_num_threads() == 5
            inside = [e.submit(torch.get_num_threads).result() for e in executors]
            assert inside == [1, 1]
            with ThreadPoolExecutor(1) as another:
                assert another.submit(torch.get_num_threads).result() == 5
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert torch.get_num_threads() == 5
    with lanes(1) as [executor]:
        pass
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


def test_an_error_in_one_thread_stops_all_and_reaches_the_caller(threads, sources):
    class Broken(Watched):
        def work(self, anatomical, functional):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    threads(2)
    model = Broken()
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        _fuse(model, sources, batch_size=1)
    assert model.calls <= 4, "two at work, two behind them"
    assert model.at_work == 0


def test_cancelling_waits_for_what_runs_and_begins_nothing(threads, sources):
    threads(2)
    model = Watched()
    asked = iter([False, False])
    monitor = Monitor(is_cancelled=lambda: next(asked, True))
    with pytest.raises(CancelledError):
        _fuse(model, sources, monitor, batch_size=1)
    assert model.calls < 9
    assert model.at_work == 0


@pytest.mark.parametrize("plane", ["axial", "triplanar"])
def test_where_memory_is_full_slices_are_run_one_at_a_time(threads, sources, plane):
    threads(2)
    result = _fuse(Full(), sources, batch_size=1, plane=plane)
    assert torch.allclose(result.fused, (sources[0] + sources[1]) / 2)
    assert result.slices == (9 if plane == "axial" else 9 + 15 + 12)
    assert result.warnings == ("memory of cpu too small for 2 slices at a time: went on with 1",)


def test_memory_that_holds_not_one_slice_is_an_error(threads, sources):
    class Never(Watched):
        def work(self, anatomical, functional):
            raise MemoryError

    threads(2)
    with pytest.raises(DeviceError, match="a single slice of 15 x 12 does not fit"):
        _fuse(Never(), sources, batch_size=2)


def test_progress_tells_every_slice_once(threads, sources):
    threads(2)
    told = []
    monitor = Monitor(lambda stage, fraction: told.append(fraction))
    _fuse(Full(), sources, monitor, batch_size=1)
    assert told == sorted(told)
    assert told[-1] == 1


def test_it_runs_inside_inference_mode(threads, sources):
    threads(2)
    expected = _fuse(Watched(), sources)
    with torch.inference_mode():
        result = _fuse(Watched(), [volume.clone() for volume in sources])
    assert torch.equal(result.fused, expected.fused)
