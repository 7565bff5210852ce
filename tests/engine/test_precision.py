"""Half precision is used only where it is shown to be exact enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine, slicewise
from refinefuse_med.engine.precision import probe_of
from refinefuse_med.errors import DeviceError

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


class Rounding(torch.nn.Module):
    """The mean of both sources, off by `error` in half precision."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error
        self.halves: list[bool] = []

    def with_contribution(self, anatomical, functional):
        half = torch.is_autocast_enabled("cpu")
        self.halves.append(half)
        parts = torch.cat([anatomical, functional], dim=1) / 2
        fused = parts.sum(dim=1, keepdim=True)
        return (fused + self.error, parts) if half else (fused, parts)


@pytest.fixture
def on_a_fast_device(monkeypatch):
    """The CPU counts as fast in float16."""
    monkeypatch.setattr(slicewise, "HALF_DEVICES", {"cpu"})


def _fuse(model, sources, **config):
    return Engine(model, EngineConfig(device="cpu", **config)).fuse(*sources, AFFINE)


@pytest.mark.usefixtures("on_a_fast_device")
def test_half_precision_that_is_exact_enough_is_used_and_told(sources):
    model = Rounding(0.5 / 255)
    result = _fuse(model, sources, batch_size=4)
    assert result.precision == "float16"
    assert result.warnings == ()
    assert model.halves == [False, True, True, True, True], "once beside float32, then all"
    torch.testing.assert_close(result.fused, (sources[0] + sources[1]) / 2 + 0.5 / 255)


@pytest.mark.usefixtures("on_a_fast_device")
@pytest.mark.parametrize("error", [1.5 / 255, float("nan"), float("inf")])
def test_half_precision_that_is_not_gives_way_to_float32_and_says_so(sources, error):
    result = _fuse(Rounding(error), sources)
    assert result.precision == "float32"
    assert "half precision is off by" in result.warnings[0]
    assert "went on in float32" in result.warnings[0]
    torch.testing.assert_close(result.fused, (sources[0] + sources[1]) / 2)


@pytest.mark.usefixtures("on_a_fast_device")
def test_float32_is_kept_where_it_is_asked_for(sources):
    model = Rounding(0.0)
    assert _fuse(model, sources, precision="float32").precision == "float32"
    assert not any(model.halves)


def test_a_cpu_is_never_run_in_half_precision(sources):
    model = Rounding(0.0)
    assert _fuse(model, sources).precision == "float32"
    with pytest.raises(DeviceError, match="cpu: float16 is not run here; use float32"):
        _fuse(model, sources, precision="float16")
    assert not any(model.halves)


@pytest.mark.usefixtures("on_a_fast_device")
@pytest.mark.parametrize("error", [0.0, float("nan")])
def test_no_more_slices_are_probed_at_a_time_than_are_fused(sources, error):
    sizes = []

    class Counting(Rounding):
        def with_contribution(self, anatomical, functional):
            sizes.append(len(anatomical))
            return super().with_contribution(anatomical, functional)

    result = _fuse(Counting(error), sources, batch_size=3)
    assert sizes == [3, 3, 1, 1, 3, 3, 3]
    assert result.precision == ("float32" if error else "float16")


def test_probes_lie_evenly_among_the_wanted_slices():
    wanted = torch.zeros(100, dtype=torch.bool)
    wanted[10:71] = True
    assert probe_of(wanted).tolist() == [10, 30, 50, 70]
    assert probe_of(wanted[:12]).tolist() == [10, 11]
