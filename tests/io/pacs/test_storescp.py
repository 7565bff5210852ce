"""C-STORE to storescp of dcmtk, which shares no code with us."""

from __future__ import annotations

import shutil
import subprocess
import time

import pydicom
import pytest

from refinefuse_med.errors import OutputError
from refinefuse_med.io.pacs.dimse import Peer, echo, store
from refinefuse_med.io.pacs.outbox import outbox
from tests.io.pacs.conftest import free_port


@pytest.fixture
def storescp(tmp_path):
    program = shutil.which("storescp")
    if program is None:
        pytest.skip("dcmtk is not installed")
    folder = tmp_path / "received"
    folder.mkdir()
    port = free_port()
    process = subprocess.Popen(
        [program, "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Peer("STORESCP", "127.0.0.1", port, timeout_s=5), folder
    finally:
        process.terminate()
        process.wait(10)


def _await(peer):
    for _ in range(50):
        try:
            return echo(peer)
        except OutputError:
            time.sleep(0.1)
    return echo(peer)


def test_another_maker_takes_every_object_as_it_is(study, storescp):
    peer, folder = storescp
    _await(peer)
    letters = outbox(study)
    assert {delivery.status for delivery in store(letters, peer)} == {"stored"}
    received = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, folder.iterdir())}
    for letter in letters:
        assert received[letter.sop_instance_uid] == pydicom.dcmread(letter.path)
