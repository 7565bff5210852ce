"""Devices: the best one by default, and never another one than asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, resolve_device
from refinefuse_med.engine.device import device_failures, free_memory
from refinefuse_med.errors import DeviceError, DeviceMemoryError
from refinefuse_med.network import Architecture, RefineFuse


@pytest.fixture
def machine(monkeypatch):
    def with_devices(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return with_devices


def test_auto_takes_cuda_then_mps_then_the_cpu(machine):
    machine(cuda=2, mps=True)
    assert resolve_device("auto") == torch.device("cuda:0")
    machine(mps=True)
    assert resolve_device("auto") == torch.device("mps")
    machine()
    assert resolve_device("auto") == torch.device("cpu")


def test_a_device_by_name_is_the_one_that_is_named(machine):
    machine(cuda=2, mps=True)
    names = ("cpu", "mps", "cuda", "cuda:1")
    assert [str(resolve_device(n)) for n in names] == ["cpu", "mps", "cuda:0", "cuda:1"]


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", "mps", "gpu"])
def test_an_absent_device_is_an_error_and_not_the_cpu(machine, name):
    machine()
    with pytest.raises(DeviceError, match=rf"no device '{name}'; use one of cpu, auto"):
        resolve_device(name)


def test_a_wrong_gpu_number_names_those_that_are_there(machine):
    machine(cuda=2)
    with pytest.raises(DeviceError, match="'cuda:7'; use one of cuda:0, cuda:1, cpu, auto"):
        resolve_device("cuda:7")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "CUDA error: an illegal memory access was encountered\nCompile with ...",
            r"cuda:1: the device failed \(CUDA error: an illegal memory access .*\); run again",
        ),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "cuda:1: the device failed"),
        ("Cannot re-initialize CUDA in forked subprocess. To use", "in a forked process; use Thr"),
    ],
)
def test_a_failing_device_is_one_line_with_a_way_out(text, says):
    with pytest.raises(DeviceError, match=says) as failed, device_failures(torch.device("cuda:1")):
        raise RuntimeError(text)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 1 has ..."),
        RuntimeError("CUDA error: out of memory\nCompile with ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB, max allowed: 9.1 GB)."),
    ],
)
def test_a_full_device_is_one_line_with_a_way_out(error):
    with pytest.raises(DeviceMemoryError) as full, device_failures(torch.device("cuda:1")):
        raise error
    said = "cuda:1: its memory is full; close what else uses it, or give --device cpu"
    assert str(full.value) == said


@pytest.mark.parametrize(
    ("device", "error"),
    [
        ("cuda:0", RuntimeError("mat1 and mat2")),
        ("cuda:0", ValueError("x")),
        ("cpu", RuntimeError("DefaultCPUAllocator: can't allocate memory")),
    ],
)
def test_errors_that_are_not_the_devices_pass(device, error):
    with pytest.raises(type(error)) as passed, device_failures(torch.device(device)):
        raise error
    assert passed.value is error


def test_what_this_process_has_cached_counts_as_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 900)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 300)
    assert free_memory(torch.device("cuda:0")) == 5_600
    assert free_memory(torch.device("cpu")) is None
    assert free_memory(torch.device("mps")) is None


DEVICES = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
DEVICES += ["mps"] if torch.backends.mps.is_available() else []


@pytest.fixture
def small_network() -> RefineFuse:
    torch.manual_seed(0)
    return RefineFuse(Architecture(widths=(4, 8, 8), heads=2, key_grid=4)).requires_grad_(False)


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_of_this_machine_gives_what_the_network_gives_on_the_cpu(
    device, small_network, sources
):
    expected = small_network.with_contribution(*(x[:, None] for x in sources))
    engine = Engine(small_network, EngineConfig(device=device, precision="float32", batch_size=5))
    result = engine.fuse_slices(*sources)
    assert str(result.device) == device
    torch.testing.assert_close(result.fused, expected[0][:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(result.contribution, expected[1].transpose(0, 1), atol=1e-5, rtol=0)


class DoublePrecision(TorchDispatchMode):
    """Keeps the names of operations that give numbers in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves(result) if torch.is_tensor(x)]
        self.found += [str(func) for x in given if x.dtype == torch.float64]
        self.operations += 1
        return result


def test_the_engine_computes_nothing_in_double_precision_which_mps_does_not_have(
    threads, small_network, sources
):
    threads(1)  # the mode is heeded in this thread alone
    engine = Engine(small_network, EngineConfig(device="cpu", plane="triplanar"))
    seen = torch.ones(sources[0].shape, dtype=torch.bool)
    with DoublePrecision() as mode:
        engine.fuse(*sources, np.diag([-2.0, -2.0, 3.0, 1.0]), field_of_view=seen)
    assert mode.operations > 300
    assert mode.found == []
