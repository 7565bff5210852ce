"""A C-STORE receiver (PS3.4 annex B) that files what it is sent by series, by pynetdicom."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refinefuse_med.errors import InputError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from pynetdicom.events import Event

__all__ = ["UNFINISHED", "receiving"]

UNFINISHED: Final = ".receiving"
"""Folder of files that are being written; nothing in it is a scan yet."""

_STORED: Final = 0x0000
_OUT_OF_RESOURCES: Final = 0xA700
_NOT_UNDERSTOOD: Final = 0xC000
"""Status of a C-STORE response (PS3.4 table B.2-1)."""

_MAX_ASSOCIATIONS: Final = 10
_NETWORK_TIMEOUT_S: Final = 60.0

log = logging.getLogger(__name__)


@contextmanager
def receiving(
    folder: Path,
    port: int,
    *,
    host: str = "127.0.0.1",
    ae_title: str = "REFINEFUSE",
    callers: Sequence[str] = (),
    on_file: Callable[[Path], None] = lambda _: None,
) -> Iterator[int]:
    """Listen while the context lasts; give the port, which is a free one where `port` is 0.

    Each series gets a folder, each image a file; both are named by hashes of their UIDs, so that
    nothing that is sent becomes a path. A file appears whole or not at all, as it was encoded.

    Parameters
    ----------
    folder : Path
        Where to file.
    port : int
    host : str
        Address to listen on; ``0.0.0.0`` for all of this machine.
    ae_title : str
    callers : sequence of str
        AE titles that may send; anybody if empty. Titles are no proof of who is sending.
    on_file : callable
        Told of each file that was stored.

    Raises
    ------
    MissingExtraError
        pynetdicom is not installed.
    InputError
        Nothing can listen on that address.
    OutputError
        The folder cannot be made.
    """
    try:
        from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
        from pynetdicom.sop_class import Verification
    except ImportError:
        raise MissingExtraError(
            "receiving needs pynetdicom", hint="pip install 'refinefuse-med[pacs]'"
        ) from None
    try:
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        (folder / UNFINISHED).mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot be made ({error.strerror})", where=folder) from error
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE(ae_title=ae_title)
    entity.maximum_associations = _MAX_ASSOCIATIONS
    entity.network_timeout = _NETWORK_TIMEOUT_S
    entity.require_called_aet = False
    entity.require_calling_aet = list(callers)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)

    def store(event: Event) -> int:
        return _store(event, folder, on_file)

    try:
        server = entity.start_server(
            (host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
        )
    except OSError as error:
        raise InputError(
            f"cannot listen ({error.strerror})", where=f"{host}:{port}", hint="try another --port"
        ) from error
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def _store(event: Event, folder: Path, on_file: Callable[[Path], None]) -> int:
    try:
        dataset = event.dataset
        series, instance = str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)
        encoded = event.encoded_dataset()
    except Exception:  # pydicom raises whatever its parser meets
        log.warning("an object that cannot be read was refused")
        return _NOT_UNDERSTOOD
    place = folder / _hash(series) / f"{_hash(instance)}.dcm"
    partial = folder / UNFINISHED / secrets.token_hex(8)
    try:
        place.parent.mkdir(exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(encoded)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        log.error("an object could not be stored: %s", error.strerror)
        return _OUT_OF_RESOURCES
    on_file(place)
    return _STORED


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:24]
