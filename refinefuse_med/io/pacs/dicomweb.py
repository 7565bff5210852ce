"""STOW-RS (PS3.18 section 10.5), by dicomweb-client."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from pydicom import dcmread
from pydicom.dataset import Dataset

from refinefuse_med.errors import MissingExtraError, UsageError
from refinefuse_med.io.pacs.outbox import Delivery, Letter

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient
    from requests import Response

__all__ = ["PASSWORD_VARIABLE", "TOKEN_VARIABLE", "store"]

log = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "REFINEFUSE_DICOMWEB_TOKEN"
"""Environment variable with a bearer token; a command line would show it to everybody."""

PASSWORD_VARIABLE: Final = "REFINEFUSE_DICOMWEB_PASSWORD"
"""Environment variable with the password of the user that the URL names."""

_MAX_BYTES: Final = 64 * 2**20
"""About as much as one request holds."""

_MAX_WAIT_S: Final = 30.0

_CONFLICT: Final = 409
"""None of the instances was stored; the answer should say why of each (PS3.18 table 10.5.3-1)."""

_BUSY: Final = frozenset({408, 429, 502, 503, 504})
_REFUSALS: Final = frozenset({401, 403, 404, 405, 502, 503, 504})
"""Answers that all further requests would get as well."""


def store(
    letters: Sequence[Letter],
    url: str,
    *,
    retries: int = 3,
    timeout_s: float = 30.0,
    on_delivery: Callable[[Delivery], None] = lambda _: None,
) -> list[Delivery]:
    """Send files, several in a request; one by one where a request of several fails.

    Parameters
    ----------
    letters : sequence of Letter
        In the order to send.
    url : str
        Of the service, such as ``https://user@host/dicom-web``. The password of a user, or a bearer
        token, is taken from the environment (`PASSWORD_VARIABLE`, `TOKEN_VARIABLE`).
    retries : int
        How often a request is sent again that met no server, or a busy one.
    timeout_s : float
        Most seconds to wait for an answer.
    on_delivery : callable
        Told of each file as soon as its fate is known.

    Returns
    -------
    list of Delivery
        One for each file, in the order of `letters`.

    Raises
    ------
    UsageError
        Not a URL of http or https.
    MissingExtraError
        dicomweb-client is not installed.
    """
    client = _client(url, timeout_s)
    done: dict[Letter, Delivery] = {}
    gone = ""  # why the service is given up
    for batch in _by_size(letters):
        answers = [_Answer(batch, 0, gone)] if gone else _send(client, batch, retries)
        for answer in answers:
            gone = answer.problem if answer.absent else gone
            for letter in answer.letters:
                done[letter] = answer.delivery(letter)
                on_delivery(done[letter])
    return [done[letter] for letter in letters]


def _client(url: str, timeout_s: float) -> DICOMwebClient:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError("not a URL of http or https", where="--dicomweb") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("not a URL of http or https", where="--dicomweb")
    try:
        import requests
        from dicomweb_client.api import DICOMwebClient
    except ImportError as error:
        raise MissingExtraError(
            "STOW-RS needs dicomweb-client", hint="pip install 'refinefuse-med[pacs]'"
        ) from error
    session = requests.Session()
    if parts.username:
        if parts.password:
            log.warning("others see a password in a command: put it into %s", PASSWORD_VARIABLE)
        password = parts.password or os.environ.get(PASSWORD_VARIABLE, "")
        session.auth = (unquote(parts.username), unquote(password) if parts.password else password)
    if token := os.environ.get(TOKEN_VARIABLE):
        session.headers["Authorization"] = f"Bearer {token}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    client = DICOMwebClient(bare.rstrip("/"), session=session, timeout=timeout_s)
    client.set_http_retry_params(retry=False)  # ours also meets a server that is not there
    return client


def _by_size(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        length = letter.path.stat().st_size
        if batch and size + length > _MAX_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += length
    if batch:
        yield batch


@dataclass(frozen=True)
class _Answer:
    """What came of one request: its own failure, or a dataset that tells of each instance."""

    letters: Sequence[Letter]
    attempts: int
    problem: str = ""
    absent: bool = False
    told: Dataset | None = None

    def delivery(self, letter: Letter) -> Delivery:
        uid = letter.sop_instance_uid
        if self.problem:
            return Delivery(letter.name, uid, "failed", self.problem, self.attempts)
        told = self.told or Dataset()
        for item in told.get("FailedSOPSequence") or ():
            if item.get("ReferencedSOPInstanceUID") == uid:
                reason = f"status 0x{int(item.get('FailureReason') or 0):04X}"
                return Delivery(letter.name, uid, "failed", reason, self.attempts)
        stored = told.get("ReferencedSOPSequence") or ()
        for item in stored:
            if item.get("ReferencedSOPInstanceUID") == uid:
                if item.get("WarningReason"):
                    reason = f"status 0x{int(item.WarningReason):04X}"
                    return Delivery(letter.name, uid, "warning", reason, self.attempts)
                return Delivery(letter.name, uid, "stored", attempts=self.attempts)
        if stored:  # the others were named
            reason = "the service does not say that it was stored"
            return Delivery(letter.name, uid, "failed", reason, self.attempts)
        return Delivery(letter.name, uid, "stored", attempts=self.attempts)


def _send(client: DICOMwebClient, letters: Sequence[Letter], retries: int) -> list[_Answer]:
    answer = _post(client, letters, retries)
    if not answer.problem or answer.absent or len(letters) == 1:
        return [answer]
    return [_post(client, [letter], retries) for letter in letters]


def _post(client: DICOMwebClient, letters: Sequence[Letter], retries: int) -> _Answer:
    from requests import HTTPError, RequestException

    for attempt in range(1, retries + 2):
        try:
            told = client.store_instances([dcmread(letter.path) for letter in letters])
            return _Answer(letters, attempt, told=told)
        except HTTPError as error:
            code = error.response.status_code
            told = _told(error.response)
            if code == _CONFLICT and _names_all(told, letters):
                return _Answer(letters, attempt, told=told)
            answer = _Answer(letters, attempt, f"the service says HTTP {code}", code in _REFUSALS)
            if code not in _BUSY:
                return answer
        except RequestException as error:
            reason = f"the service cannot be reached ({type(error).__name__})"
            answer = _Answer(letters, attempt, reason, absent=True)
        if attempt <= retries:
            time.sleep(min(2.0 ** (attempt - 1), _MAX_WAIT_S))
    return answer


def _told(response: Response) -> Dataset:
    """What the body of a refusal says of the instances; nothing where it is no DICOM JSON."""
    try:
        return Dataset.from_json(response.json())
    except Exception:  # pydicom and requests raise whatever a malformed body leads to
        return Dataset()


def _names_all(told: Dataset, letters: Sequence[Letter]) -> bool:
    failed = {item.get("ReferencedSOPInstanceUID") for item in told.get("FailedSOPSequence") or ()}
    return all(letter.sop_instance_uid in failed for letter in letters)
