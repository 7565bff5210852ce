"""Names that tell nobody who is meant: keyed hashes of what would."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from refinefuse_med.errors import InputError, OutputError

__all__ = ["Pseudonyms"]

_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class Pseudonyms:
    """A keyed hash (HMAC-SHA256): the same text has the same pseudonym, under one key.

    Without the key nobody can try out patient numbers until one fits, so that it is kept
    away from the results: by default in the user's own configuration folder.
    """

    key: bytes = field(repr=False)

    def of(self, *texts: str, length: int = 12) -> str:
        """Hexadecimal digits that stand for these texts, whatever they hold."""
        message = b"".join(len(raw).to_bytes(8, "big") + raw for raw in map(_encoded, texts))
        return hmac.new(self.key, message, hashlib.sha256).hexdigest()[:length]

    @classmethod
    def from_file(cls, path: Path | None = None) -> Pseudonyms:
        """Read the key, or make it: `path`, or that of the user.

        Raises
        ------
        InputError, OutputError
            The file is no key, or cannot be made.
        """
        path = path or _users_file()
        try:
            key = bytes.fromhex(_read_or_make(path))
        except ValueError:
            key = b""
        except OSError as error:
            raise OutputError(
                f"the key of the pseudonyms cannot be read or made ({error.strerror})",
                where=path,
                hint="name a file for it with --key",
            ) from error
        if len(key) != _KEY_BYTES:
            raise InputError("not a key of pseudonyms", where=path, hint="name another with --key")
        return cls(key)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _users_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base, "refinefuse", "pseudonym.key")


def _read_or_make(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            with suppress(FileExistsError):  # another process was first: its key is taken
                os.link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return path.read_text().strip()
