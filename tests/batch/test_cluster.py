"""How workers are sized."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refinefuse_med.batch.cluster import USUAL_MB, size_pool
from refinefuse_med.batch.estimate import Estimate

from . import light

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Eight cores, and memory for two pairs of the usual size at a time."""
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 7 * GB)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def _pairs(*memory_mb):
    return [
        replace(light.pair(number), estimate=Estimate(mb, 1)) for number, mb in enumerate(memory_mb)
    ]


@pytest.mark.parametrize(
    ("pairs", "workers"),
    [
        (_pairs(500, 500, 500), 3),
        (_pairs(*[500] * 20), 8),
        (_pairs(500, 500, 2000), 3),
        (_pairs(500, 500, 500, 3000), 2),
        (_pairs(90_000), 1),
    ],
)
def test_there_are_as_many_workers_as_pairs_cores_and_memory_allow(pairs, workers):
    sizing = size_pool(pairs, None, 0)
    assert sizing.cpu == workers
    assert sizing.threads == 8 // workers
    assert sizing.memory_bytes <= 0.9 * 7 * GB


def test_pairs_without_an_estimate_are_taken_for_usual_ones():
    expected = size_pool(_pairs(USUAL_MB, USUAL_MB, USUAL_MB), None, 0)
    assert expected.cpu == 2
    assert size_pool(_pairs(0, 0, 0), None, 0) == expected
    assert size_pool([], None, 0) == expected
