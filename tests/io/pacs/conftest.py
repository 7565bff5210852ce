"""Archives on this machine: one of pynetdicom, and Orthanc."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refinefuse_med.io import DicomOptions, Shown, write_dicom
from refinefuse_med.volume import Grid, grid_of
from tests.conftest import oblique_affine
from tests.io.dicom_sources import mr_source, pet_source
from tests.io.objects.helpers import colour, functional

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
COLOURS = np.stack([np.arange(256)] * 3, axis=1).astype(np.uint8)


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """Every kind of object that a fusion writes."""
    folder = tmp_path_factory.mktemp("study")
    affine = oblique_affine()
    fused = colour(affine)
    moving = pet_source(Grid((4, 4, 3), np.diag([-9.0, -9.0, 9.0, 1.0])))
    for name, options in (
        ("slices", DicomOptions(seed="a", colour_bar=True)),
        ("maps", DicomOptions(seed="b", multiframe=True, quantitative=True)),
    ):
        write_dicom(
            folder / name,
            fused,
            functional(affine, "PT", "SUVbw", moving),
            mr_source(grid_of(fused)),
            matrix_fixed_to_moving_lps=np.eye(4),
            shown=Shown((0, 900), (0, 8), COLOURS, "grey"),
            options=options,
        )
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Archive:
    """A storage SCP that keeps what it is sent, or answers as a test wants."""

    port: int
    answers: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"ARCHIVE@127.0.0.1:{self.port}"


@contextmanager
def _running(configure: Callable[[Any], None]):
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import Verification

    archive = Archive(free_port())

    def on_store(event):
        answer = archive.answers.pop(0) if archive.answers else 0x0000
        if answer == "abort":
            event.assoc.abort()
            return 0x0000
        if answer in (0x0000, 0xB000):
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            archive.received.append(dataset)
        return answer

    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = True
    entity.add_supported_context(Verification)
    configure(entity)
    server = entity.start_server(
        ("127.0.0.1", archive.port), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    try:
        yield archive
    finally:
        server.shutdown()


@pytest.fixture
def running():
    """Start an archive as `configure` sets up its application entity."""
    return _running


@pytest.fixture
def archive():
    """One that takes everything."""

    def everything(entity):
        from pynetdicom import AllStoragePresentationContexts

        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax)

    with _running(everything) as started:
        yield started


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    http_port: int
    dicom_port: int

    @property
    def address(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dicom_port}"

    @property
    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            return json.load(answer)

    def empty(self) -> None:
        for study in self.ask("/studies"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.http_port}/studies/{study}", method="DELETE"
            )
            urllib.request.urlopen(request).close()


@pytest.fixture
def orthanc(_orthanc):
    """An empty Orthanc."""
    _orthanc.empty()
    return _orthanc


@pytest.fixture(scope="module")
def _orthanc(tmp_path_factory):
    """One that takes connections from this machine alone."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    tmp_path = tmp_path_factory.mktemp("orthanc")
    server = Orthanc(free_port(), free_port())
    configuration = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomPort": server.dicom_port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"us": ["REFINEFUSE", "127.0.0.1", 104]},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = tmp_path / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (tmp_path / "orthanc.log").open("w") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
        try:
            _await(process, server, tmp_path / "orthanc.log")
            yield server
        finally:
            process.terminate()
            process.wait(20)


def _await(process: subprocess.Popen, server: Orthanc, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            pytest.skip(f"Orthanc does not start here: {log.read_text()[-300:]}")
        try:
            server.ask("/system")
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("Orthanc does not answer")
