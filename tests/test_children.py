import os
from functools import partial

import pytest

from refinefuse_med.children import in_children


def _divided(number, by):
    return number // by, os.getpid()


def _die(number):
    if os.getppid() == number:
        os._exit(1)
    return "done here"


def test_children_answer_in_order():
    found = list(in_children(partial(_divided, by=2), range(20), 2))
    assert [value for value, _ in found] == [number // 2 for number in range(20)]
    assert os.getpid() not in {pid for _, pid in found}


def test_what_fails_in_a_child_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(in_children(partial(_divided, by=0), range(3), 2))


def test_what_a_dead_child_leaves_is_done_here():
    assert list(in_children(_die, [os.getpid()] * 3, 2)) == ["done here"] * 3
