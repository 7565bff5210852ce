"""The memory that is said to be needed is what a run takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("napari")

RUN = r"""
import re, resource
import numpy as np, torch
from napari.layers import Image
from refinefuse_med.config import FusionConfig
from refinefuse_napari._snapshot import snapshot
from refinefuse_napari._estimate import memory_needed
from refinefuse_napari._pair import facts_of
from refinefuse_napari._fusing import Models, fuse
from refinefuse_napari._outcome import Request

def scan(side, name, modality):
    line = np.linspace(-1, 1, side, dtype=np.float32)
    x, y, z = line[:, None, None], line[None, :, None], line[None, None, :]
    data = 100 * (x**2 + y**2 + z**2 < 0.6).astype(np.float32) + 7 * x + 3 * y + z
    info = {"modality": modality, "frame_of_reference_uid": "1.2"}
    layer = Image(data, name=name, scale=(200 / side,) * 3, units="mm", visible=False,
                  contrast_limits=(0, 1), metadata={"refinefuse": info})
    return snapshot(layer)

def quick(anatomical, functional):
    # In place of the network, whose memory does not grow with the volume.
    parts = torch.stack([anatomical[:, 0], functional[:, 0]], 1) / 2
    return parts.sum(1, keepdim=True), parts

models = Models()
models.get(None).with_contribution = quick
config = FusionConfig.model_validate({"registration": {"method": "none"}})
small, large = (Request(scan(n, "a", "MR"), scan(64, "b", "PT"), config) for n in (32, 192))
fuse(small, None, models)
pages = int(open("/proc/self/statm").read().split()[1])
fuse(large, None, models)
# Not of getrusage, which begins with what the process that started this one held.
peak = 1024 * int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1])
said = memory_needed(facts_of(large.anatomical), facts_of(large.functional))
print((peak - pages * resource.getpagesize()) / said)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_said_is_the_memory_taken():
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0.3 < float(done.stdout) < 1.05
