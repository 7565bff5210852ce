"""What attempts leave behind, as the next one finds it."""

import shutil

import pytest

from refinefuse_med.batch.attempts import Attempts


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path, "MR-PT-1", "fuse")


def _cut(attempts, number, words=""):
    """An attempt whose process did not live to end it."""
    name = f"host-{number}.crash"
    (attempts._work / name).write_text(words)
    attempts._note(name)


def _fail(attempts):
    with pytest.raises(ValueError, match="no good"), attempts.attempt(None):
        raise ValueError("no good")


def test_an_attempt_that_succeeds_leaves_nothing(attempts):
    _fail(attempts)
    with attempts.attempt(None):
        pass
    assert not attempts.exhausted()
    _fail(attempts)
    assert not attempts.exhausted()


def test_two_errors_are_enough(attempts):
    _fail(attempts)
    assert not attempts.exhausted()
    _fail(attempts)
    assert attempts.exhausted().startswith("ended in an error and was given up after 2 attempts")


def test_a_kill_does_not_take_the_retry_of_an_error(attempts):
    _cut(attempts, 1)
    _fail(attempts)
    assert not attempts.exhausted()
    assert not attempts.want_solitude()
    _fail(attempts)
    assert attempts.exhausted()


def test_a_crash_after_an_error_is_enough_and_is_what_is_told(attempts):
    _fail(attempts)
    _cut(attempts, 1, "Fatal Python error: Aborted\n\nThread 1")
    assert attempts.exhausted().startswith("lost its worker (Fatal Python error: Aborted) and was")


def test_two_kills_ask_for_solitude_and_five_are_enough(attempts):
    told = []
    for number in range(5):
        _cut(attempts, number)
        told.append((attempts.want_solitude(), bool(attempts.exhausted())))
    assert told == [(False, False), (True, False), (True, False), (True, False), (True, True)]


def test_an_attempt_that_outlives_its_run_raises_what_ended_it(attempts, tmp_path):
    def outlive():
        with attempts.attempt(None):
            shutil.rmtree(tmp_path)
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        outlive()
