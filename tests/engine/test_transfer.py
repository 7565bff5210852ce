"""Batches on their way: the same slices with streams and without, and waits in the right order."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, slicewise
from refinefuse_med.engine.transfer import Transfers

CPU = torch.device("cpu")
AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


class Recorder:
    """Stands in for ``torch.cuda``: keeps what streams are told, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.names = iter(("up", "down"))

    def Stream(self):
        return _Stream(self.log, next(self.names))

    def Event(self):
        return _Event(self.log)

    def current_stream(self, device):
        return _Stream(self.log, "compute")

    @contextmanager
    def stream(self, stream):
        self.log.append(f"copy on {stream.name}")
        yield


class _Stream:
    def __init__(self, log, name) -> None:
        self.log, self.name = log, name

    def wait_stream(self, other) -> None:
        self.log.append(f"{self.name} waits for {other.name}")


class _Event:
    def __init__(self, log) -> None:
        self.log, self.name = log, ""

    def record(self, stream) -> None:
        self.name = stream.name

    def wait(self, stream) -> None:
        self.log.append(f"{stream.name} waits for {self.name}")

    def synchronize(self) -> None:
        self.log.append(f"host waits for {self.name}")


def test_nothing_is_read_before_it_has_arrived(monkeypatch, sources):
    recorder = Recorder()
    monkeypatch.setattr(torch, "get_device_module", lambda _: recorder)
    transfers = Transfers(CPU, CPU, overlap=True)
    both, batch = torch.stack(sources), torch.tensor([1, 4])
    slices = transfers.receive(transfers.send(sources, batch))
    assert torch.equal(slices, both[:, batch])
    fused, parts = transfers.bring(slices[0], slices).wait()
    assert torch.equal(fused, both[0, batch])
    assert torch.equal(parts, both[:, batch])
    assert recorder.log == [
        *("copy on up", "compute waits for up"),
        *("down waits for compute", "copy on down", "host waits for down"),
    ]


@pytest.mark.parametrize("plane", ["axial", "triplanar"])
def test_streams_change_nothing(monkeypatch, directional, sources, plane, threads):
    threads(1)  # several would not go through `Transfers`
    engine = Engine(directional, EngineConfig(device="cpu", plane=plane, batch_size=2))
    expected = engine.fuse(*sources, AFFINE)
    monkeypatch.setattr(slicewise, "Transfers", partial(Transfers, overlap=True))
    result = engine.fuse(*sources, AFFINE)
    assert torch.equal(result.fused, expected.fused)
    assert torch.equal(result.contribution, expected.contribution)


def test_the_next_batch_is_on_its_way_before_the_last_one_is_waited_for(
    monkeypatch, brighter, sources, threads
):
    threads(1)
    recorder = Recorder()
    monkeypatch.setattr(torch, "get_device_module", lambda _: recorder)
    monkeypatch.setattr(slicewise, "Transfers", partial(Transfers, overlap=True))
    Engine(brighter, EngineConfig(device="cpu", batch_size=3)).fuse(*sources, AFFINE)
    log = recorder.log
    assert log.count("copy on up") == log.count("host waits for down") == 3
    first_wait = log.index("host waits for down")
    assert log[:first_wait].count("copy on up") == 3, "one computed, one computing, one ahead"
    assert log[:first_wait].count("copy on down") == 2
