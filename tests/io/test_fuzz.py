"""Whatever bytes come in, the answer is a volume or one line: no traceback, no hang, no chatter.

A longer hunt than the suite's: FUZZ_EXAMPLES=20000 pytest tests/io/test_fuzz.py
"""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, RLELossless

from refinefuse_med.errors import RefineFuseError
from refinefuse_med.io import inspect_path, load_volume
from tests.io.case import series
from tests.io.cases_files import nifti, packed
from tests.io.cases_objects import coloured, enhanced, mosaic, nuclear
from tests.io.cases_values import encoded, pet

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "120"))
SLOWEST_MS = 5000
KINDS = {
    "classic": series(),
    "PET": pet(),
    "enhanced": enhanced([2, 0, 1]),
    "NM": nuclear(),
    "mosaic": mosaic(),
    "palette": coloured("PALETTE COLOR"),
    "RLE": encoded(RLELossless),
    "JPEG 2000": encoded(JPEG2000Lossless),
    "NIfTI": nifti(name="t1.nii"),
    "packed NIfTI": nifti(name="t1.nii.gz"),
    "zip": packed(),
}

places = st.floats(0, 1, exclude_max=True)
changes = st.one_of(
    st.tuples(st.just("set"), places, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("remove"), places, st.integers(1, 200)),
    st.tuples(st.just("cut"), places, st.none()),
)


@cache
def whole(kind: str) -> tuple[tuple[str, bytes], ...]:
    """The files of an input, whole."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        KINDS[kind](folder)
        return tuple((p.name, p.read_bytes()) for p in sorted(folder.iterdir()))


def damaged(content: bytes, damage) -> bytes:
    held = bytearray(content)
    for what, place, value in damage:
        # Most of a file is pixels or zeros: half of the damage goes where its header is.
        start = int(place * 2 * len(held)) if place < 0.5 else int((place - 0.5) * 2 * 1500)
        start = min(start, len(held))
        if what == "set":
            held[start : start + len(value)] = value
        elif what == "insert":
            held[start:start] = value
        elif what == "remove":
            del held[start : start + value]
        else:
            del held[start:]
    return bytes(held)


def _quickly(examples: int):
    return settings(
        max_examples=examples,
        deadline=SLOWEST_MS,
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        database=None,
    )


def assert_answered(path: Path) -> None:
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom's would show parts of the header
        for read in (inspect_path, load_volume):
            try:
                read(path)
            except RefineFuseError as error:
                said.append(str(error))
    assert not any("\n" in line for line in said)


@_quickly(EXAMPLES)
@given(st.sampled_from(sorted(KINDS)), st.lists(changes, min_size=1, max_size=4), st.booleans())
def test_damaged_bytes_give_a_volume_or_one_line(kind, damage, everywhere):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = whole(kind)
        for number, (file, content) in enumerate(files):
            is_hit = everywhere or number == len(files) // 2
            (folder / file).write_bytes(damaged(content, damage) if is_hit else content)
        assert_answered(folder / files[0][0] if len(files) == 1 else folder)


@_quickly(EXAMPLES // 2)
@given(st.binary(max_size=400), st.sampled_from(["", "DICM", ".nii", ".nii.gz", ".zip"]))
def test_any_bytes_give_one_line(content, kind):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, f"file{kind if kind.startswith('.') else '.dcm'}")
        start = {"DICM": bytes(128) + b"DICM", ".zip": b"PK\3\4"}.get(kind, b"")
        path.write_bytes(start + content)
        assert_answered(path)


def test_the_damage_does_damage():
    content = bytes(range(200)) * 20
    assert damaged(content, [("set", 0.75, b"abc")]) != content
    assert len(damaged(content, [("cut", 0.25, None)])) == 2000
    assert np.all([len(whole(kind)) for kind in KINDS])
