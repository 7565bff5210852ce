"""New unique identifiers: random, or the same for the same words."""

from __future__ import annotations

import uuid

from pydicom.uid import UID, generate_uid

__all__ = ["new_uid"]


def new_uid(*words: str | int | None) -> UID:
    """Make a UID below the root 2.25 (PS3.5 B.2): of the words, or a random one without.

    Where a word is None the UID is random too, so that an absent seed needs no second path.

    Examples
    --------
    >>> new_uid("a", 1) == new_uid("a", 1)
    True
    >>> new_uid("a", 1) == new_uid("a", 2)
    False
    >>> new_uid() == new_uid()
    False
    """
    if not words or None in words:
        return UID(generate_uid(prefix=None))
    name = "\0".join(str(word) for word in words)
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")
