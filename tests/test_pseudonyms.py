import stat

import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.pseudonyms import Pseudonyms


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "config" / "refinefuse" / "pseudonym.key"
    first, again = Pseudonyms.from_file(), Pseudonyms.from_file()
    assert first.of("Doe^Jane") == again.of("Doe^Jane")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_another_key_gives_other_pseudonyms(tmp_path):
    one, other = (Pseudonyms.from_file(tmp_path / name) for name in "ab")
    assert one.of("x") != other.of("x")
    assert one.of("a", "bc") != one.of("ab", "c")
    assert "key" not in repr(one)


def test_a_file_that_is_no_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("secret")
    with pytest.raises(InputError, match="not a key"):
        Pseudonyms.from_file(tmp_path / "key")
