"""The corpus: each kind of input is read right, or refused with the reason, and accounted for."""

from __future__ import annotations

import pytest

from refinefuse_med.errors import RefineFuseError
from refinefuse_med.io import inspect_path, load_volume
from refinefuse_med.volume import source_of
from tests.io.cases import CASES, PAGE, page


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_of_input_is_read_right_or_says_why_not(tmp_path, case):
    folder = tmp_path / "input"
    folder.mkdir()
    made = case.make(folder)
    path = made if hasattr(made, "open") else folder
    if case.refused:
        with pytest.raises(RefineFuseError) as caught:
            load_volume(path, **case.options)
        said = str(caught.value)
        assert "\n" not in said
    else:
        volume = load_volume(path, **case.options)
        case.check(volume)
        said = " | ".join(source_of(volume).warnings)
    assert case.says in said
    _assert_accounted(path, case)


def _assert_accounted(path, case):
    """What is refused is not called usable, and no file is left out."""
    try:
        found = inspect_path(path)
    except RefineFuseError:
        assert case.refused
        return
    if path.is_dir():
        files = sum(not p.is_dir() or p.is_symlink() for p in path.rglob("*"))
        assert sum(entry.files for entry in found.series) + len(found.skipped) == files
    for entry in found.series:
        assert entry.usable or entry.reason
    # Pixels are not looked at, so that what only they tell is not known yet.
    if case.refused and "decode" not in case.says and "truncated or damaged" not in case.says:
        assert sum(entry.usable for entry in found.series) != 1


def test_there_are_many_kinds_and_each_has_a_name_of_its_own():
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_the_page_lists_what_is_tested():
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "renew it with: python -m tests.io.cases"
