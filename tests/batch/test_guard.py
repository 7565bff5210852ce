"""What a failure tells without telling whose scans they were."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from refinefuse_med.batch import task
from refinefuse_med.batch.guard import guarded
from refinefuse_med.batch.job import Job
from refinefuse_med.batch.plan import Pair, Scan
from refinefuse_med.batch.stages import fuse_job
from refinefuse_med.config import EngineConfig, FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.errors import DeviceMemoryError, InputError

from . import light

FOLDER = Path("/archive/Doe_Jane")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InputError("no pixels", where="Jane_7.dcm"), "a file of functional: no pixels"),
        (InputError("no pixels", where=FOLDER / "pt"), "functional: no pixels"),
        (
            InputError("gone", where="x", hint=f"look for {FOLDER / 'pt' / 'Jane_7.dcm'}"),
            "x: gone; look for a file of functional",
        ),
    ],
)
def test_an_error_names_neither_folder_nor_file(tmp_path, error, told):
    def fail(monitor):
        raise error

    pair = light.pair(1)
    functional = replace(pair.functional, path=FOLDER / "pt", files=("Jane_6.dcm", "Jane_7.dcm"))
    pair = replace(pair, functional=functional)
    outcome = guarded(Job(pair, FusionConfig(), OutputConfig(), tmp_path), "fuse", fail)
    assert outcome.error == told


class _Full(torch.nn.Module):
    """A network that no device has room for."""

    def __init__(self):
        super().__init__()
        self.tries = 0

    def with_contribution(self, anatomical, functional):
        self.tries += 1
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 ...")


def test_a_pair_that_the_device_has_no_room_for_is_recorded_with_what_to_do(
    tmp_path, monkeypatch, files
):
    full = _Full()
    monkeypatch.setattr(task, "_model", lambda _: full)
    # Threads that run slices side by side would each try.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    mr, pt = (
        Scan(files[r], None, m, (1, 1, 1)) for r, m in (("anatomical", "MR"), ("functional", "PT"))
    )
    as_is, engine = RegistrationConfig(method="none"), EngineConfig(batch_size=1)
    config = FusionConfig(registration=as_is, engine=engine)
    outcome = fuse_job(Job(Pair("MR-PT-0", "", mr, pt, ""), config, OutputConfig(), tmp_path))
    assert (outcome.status, outcome.exit_status) == ("failed", 1)
    assert outcome.error == (
        "cpu: a single slice of 50 x 44 does not fit into its memory; use another --device, or a "
        "coarser grid"
    )
    assert full.tries == 2, "once in each attempt"
    assert not (tmp_path / "MR-PT-0").exists()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "not enough memory; run fewer workers at a time with --jobs"),
        (
            DeviceMemoryError("its memory is full", where="cuda:0", hint="give --device cpu"),
            "cuda:0: its memory is full; give --device cpu",
        ),
    ],
)
def test_want_of_memory_is_told_of_the_machine_or_of_the_device(tmp_path, error, told):
    def fail(monitor):
        raise error

    outcome = guarded(Job(light.pair(1), FusionConfig(), OutputConfig(), tmp_path), "fuse", fail)
    assert outcome.error == told
