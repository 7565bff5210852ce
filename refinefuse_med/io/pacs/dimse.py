"""C-ECHO and C-STORE (PS3.4 annexes A and B), by pynetdicom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from refinefuse_med.errors import MissingExtraError, OutputError, UsageError
from refinefuse_med.io.pacs.outbox import Delivery, Letter

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.association import Association

__all__ = ["Peer", "echo", "store"]

_MAX_CONTEXTS: Final = 128
"""Most presentation contexts of one association (PS3.8 section 7.1.1.13)."""

_PLAIN: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Encodings that a file can be turned into one another without touching its pixels."""

_BUSY: Final = range(0xA700, 0xA800)
"""Out of resources (PS3.4 table B.2-1): may pass."""

_MAX_WAIT_S: Final = 30.0

OnDelivery = Callable[[Delivery], None]


@dataclass(frozen=True)
class Peer:
    """An application entity to send to.

    Attributes
    ----------
    ae_title, host : str
    port : int
    calling_ae_title : str
        What we call ourselves.
    timeout_s : float
        Most seconds to wait for a connection or an answer.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "REFINEFUSE"
    timeout_s: float = 30.0

    @classmethod
    def parse(cls, text: str, **options: Any) -> Peer:
        """Read ``AET@HOST:PORT``.

        Raises
        ------
        UsageError
            The text is not of that form.
        """
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")  # an IPv6 address
        valid = 0 < len(title.strip()) <= 16 and title.isascii() and "\\" not in title
        if not (valid and host and port.isdigit() and 0 < int(port) < 2**16):
            raise UsageError(
                f"{text!r} is not AET@HOST:PORT", hint="such as ORTHANC@localhost:4242"
            )
        return cls(title.strip(), host, int(port), **options)

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


def echo(peer: Peer) -> None:
    """Ask the peer whether it is there.

    Raises
    ------
    OutputError
        It is not, or does not want us.
    MissingExtraError
        pynetdicom is not installed.
    """
    from pynetdicom.sop_class import Verification

    entity = _entity(peer)
    entity.add_requested_context(Verification)
    association = _associate(entity, peer)
    try:
        status = association.send_c_echo()
        if not status or status.Status != 0x0000:
            raise OutputError("does not answer C-ECHO", where=peer)
    finally:
        association.release()


def store(
    letters: Sequence[Letter],
    peer: Peer,
    *,
    retries: int = 3,
    on_delivery: OnDelivery = lambda _: None,
) -> list[Delivery]:
    """Send files, those again that failed for want of a connection or of room.

    Parameters
    ----------
    letters : sequence of Letter
        In the order to send.
    peer : Peer
        Where to.
    retries : int
        How often to begin again, each time after twice the wait.
    on_delivery : callable
        Told of each file as soon as its fate is known.

    Returns
    -------
    list of Delivery
        One for each file, in the order of `letters`.

    Raises
    ------
    MissingExtraError
        pynetdicom is not installed.
    """
    done: dict[Letter, Delivery] = {}
    for attempt in range(1, retries + 2):
        waiting = [letter for letter in letters if letter not in done]
        if not waiting:
            break
        if attempt > 1:
            time.sleep(min(2.0 ** (attempt - 2), _MAX_WAIT_S))
        for batch in _by_contexts(waiting):
            for letter, delivery, may_pass in _store_batch(batch, peer, attempt):
                if may_pass and attempt <= retries:
                    continue
                done[letter] = delivery
                on_delivery(delivery)
    return [done[letter] for letter in letters]


def _entity(peer: Peer) -> ApplicationEntity:
    try:
        from pynetdicom import AE
    except ImportError as error:
        raise MissingExtraError(
            "C-STORE needs pynetdicom", hint="pip install 'refinefuse-med[pacs]'"
        ) from error
    entity = AE(ae_title=peer.calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = peer.timeout_s
    entity.network_timeout = entity.connection_timeout = peer.timeout_s
    return entity


def _associate(entity: ApplicationEntity, peer: Peer) -> Association:
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    if association.is_established:
        return association
    if association.is_rejected:
        answer = association.acceptor.primitive
        said = getattr(answer, "reason_str", "") or "no reason given"
        raise OutputError(
            f"refuses the association ({said})",
            where=peer,
            hint="check both AE titles, and whether the archive knows ours",
        )
    raise OutputError(
        "cannot be reached", where=peer, hint="check host, port, and whether it is running"
    )


def _by_contexts(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """Split where one association could not name all kinds of objects."""
    batch: list[Letter] = []
    kinds: set[tuple[str, str]] = set()
    for letter in letters:
        kind = (letter.sop_class_uid, letter.transfer_syntax_uid)
        if kind not in kinds and 2 * (len(kinds) + 1) > _MAX_CONTEXTS:
            yield batch
            batch, kinds = [], set()
        kinds.add(kind)
        batch.append(letter)
    if batch:
        yield batch


def _store_batch(
    letters: Sequence[Letter], peer: Peer, attempt: int
) -> Iterator[tuple[Letter, Delivery, bool]]:
    """Send over one association; also tell whether what failed may succeed later."""

    def failed(letter: Letter, reason: str) -> Delivery:
        return Delivery(letter.name, letter.sop_instance_uid, "failed", reason, attempt)

    entity = _entity(peer)
    entity.requested_contexts = _contexts(letters)
    try:
        association = _associate(entity, peer)
    except OutputError as error:
        for letter in letters:
            yield letter, failed(letter, error.what), True
        return
    try:
        for letter in letters:
            if not association.is_established:
                yield letter, failed(letter, "the connection was lost"), True
                continue
            yield (letter, *_store_one(association, letter, attempt))
    finally:
        if association.is_established:
            association.release()


def _contexts(letters: Iterable[Letter]) -> list[Any]:
    """One for each kind of object, and where that can be encoded otherwise, one for that."""
    from pynetdicom import build_context

    kinds: dict[tuple[str, str], None] = {}
    for letter in letters:
        syntax = letter.transfer_syntax_uid
        for one in (syntax, *_PLAIN) if syntax in _PLAIN else (syntax,):
            kinds[letter.sop_class_uid, one] = None
    return [build_context(*kind) for kind in kinds]


def _store_one(association: Association, letter: Letter, attempt: int) -> tuple[Delivery, bool]:
    from pynetdicom.status import code_to_category

    def delivery(status: Any, reason: str = "") -> Delivery:
        return Delivery(letter.name, letter.sop_instance_uid, status, reason, attempt)

    kinds = {context.abstract_syntax for context in association.accepted_contexts}
    if letter.sop_class_uid not in kinds:
        return delivery("failed", f"the archive takes no {letter.sop_class_uid.name}"), False
    try:
        # Encoded anew where the archive takes the implicit encoding alone.
        status = association.send_c_store(dcmread(letter.path))
    except (ValueError, OSError, RuntimeError) as error:
        # RuntimeError: the association ended meanwhile
        return delivery("failed", str(error)), isinstance(error, RuntimeError)
    if not status:
        return delivery("failed", "no answer"), True
    said = str(status.get("ErrorComment", "")) or f"status 0x{status.Status:04X}"
    category = code_to_category(status.Status)
    if category == "Success":
        return delivery("stored"), False
    if category == "Warning":
        return delivery("warning", said), False
    return delivery("failed", said), status.Status in _BUSY
