"""Multi-frame objects that are stored in several files (PS3.3 section C.7.6.16.2.2.4)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import integer, numbers, text

__all__ = ["concatenated"]

_HINT = "get the missing files, or export the object in one piece"


def concatenated(headers: Sequence[Dataset]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Put the parts of one object in order.

    Parameters
    ----------
    headers : sequence of Dataset
        Of every part that was found, or of objects that are each in one file.

    Returns
    -------
    order : tuple of int
        Indices of the parts.
    warnings : tuple of str
        What the headers leave open.

    Raises
    ------
    InputError
        A part is missing, which is named by its number, or two claim to be the same.
    """
    if not text(headers[0], "ConcatenationUID"):
        return tuple(range(len(headers))), ()
    order = sorted(range(len(headers)), key=lambda n: integer(headers[n], "InConcatenationNumber"))
    present = [integer(headers[n], "InConcatenationNumber") for n in order]
    total = max(integer(header, "InConcatenationTotalNumber") for header in headers)
    if len(set(present)) < len(present):
        twice = next(number for number in present if present.count(number) > 1)
        raise InputError(f"a concatenation with two different parts {twice}")
    missing = sorted(set(range(1, max(total, *present) + 1)) - set(present))
    if missing:
        parts = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        of = f" of {total}" if total else ""
        raise InputError(f"a concatenation without its part {parts}{of}", hint=_HINT)
    before = 0
    for number in order:
        offset = numbers(headers[number], "ConcatenationFrameOffsetNumber")
        if offset and offset[0] != before:
            raise InputError(
                f"part {integer(headers[number], 'InConcatenationNumber')} of a concatenation "
                f"begins with frame {offset[0] + 1:g}, and those before it have {before}",
                hint=_HINT,
            )
        before += max(1, integer(headers[number], "NumberOfFrames", 1))
    notes = [f"{len(order)} parts of a concatenation were joined"]
    if not total:
        notes.append("how many parts it has is not said: more may follow them")
    return tuple(order), tuple(notes)
