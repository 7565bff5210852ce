"""Names, folders, order and copies of the files of a series change nothing of its volume."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinefuse_med.io import inspect_path, load_volume
from refinefuse_med.volume import affine_ras
from tests.io.corpus import OBLIQUE, Scan, make_slice, pet_tags

SLICES = 6
SCANS = {
    "MR": Scan(slices=SLICES, orientation=OBLIQUE),
    "PT": Scan("PT", slices=SLICES, tags=pet_tags()),
}
names = st.text(
    st.characters(categories=["L", "N"], include_characters="-_ ."), min_size=1, max_size=12
).filter(lambda name: name.strip(" .") == name and not name.lower().endswith((".nii", ".nii.gz")))


@cache
def slices(kind: str) -> tuple[bytes, ...]:
    """The files of a scan, in order."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        for k in range(SLICES):
            path = Path(name, "slice")
            make_slice(SCANS[kind], k).save_as(path)
            made.append(path.read_bytes())
    return tuple(made)


@cache
def plain(kind: str):
    with tempfile.TemporaryDirectory() as name:
        for k, content in enumerate(slices(kind)):
            Path(name, f"{k}.dcm").write_bytes(content)
        return load_volume(name)


@pytest.mark.parametrize("kind", SCANS)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    order=st.permutations(range(SLICES)),
    called=st.lists(
        names, min_size=2 * SLICES, max_size=2 * SLICES, unique_by=lambda n: n.casefold()
    ),
    folders=st.lists(st.sampled_from(["", "a", "b/c"]), min_size=SLICES, max_size=SLICES),
    again=st.sets(st.integers(0, SLICES - 1)),
)
def test_names_folders_order_and_copies_change_nothing(kind, order, called, folders, again):
    with tempfile.TemporaryDirectory() as name:
        for number, k in enumerate([*order, *sorted(again)]):
            folder = Path(name, folders[k])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"f{called[number]}").write_bytes(slices(kind)[k])
        volume = load_volume(name)
        np.testing.assert_array_equal(volume.numpy(), plain(kind).numpy())
        np.testing.assert_array_equal(affine_ras(volume), affine_ras(plain(kind)))
        (entry,) = inspect_path(name).series
        assert entry.files == SLICES + len(again)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.permutations(range(SLICES)), st.permutations(range(SLICES)))
def test_instance_numbers_and_locations_that_lie_change_nothing(instances, locations):
    scan = SCANS["MR"]
    with tempfile.TemporaryDirectory() as name:
        for k in range(SLICES):
            ds = make_slice(scan, k)
            ds.InstanceNumber, ds.SliceLocation = instances[k], locations[k]
            ds.save_as(Path(name, f"{k}.dcm"))
        volume = load_volume(name)
    np.testing.assert_array_equal(volume.numpy(), plain("MR").numpy())
    np.testing.assert_array_equal(affine_ras(volume), affine_ras(plain("MR")))
