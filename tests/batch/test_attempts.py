"""What attempts leave behind, as the next one finds it."""

import shutil
import socket

import pytest

from refinefuse_med.batch.attempts import MAX_KILLED, Attempts


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path, "MR-PT-1", "fuse")


@pytest.fixture
def kernel(monkeypatch):
    """What the kernel counts; more by one whenever that is asked for."""
    counts = ["7"]
    monkeypatch.setattr("refinefuse_med.batch.attempts._oom_kills", lambda: counts[-1])
    return counts


def _cut(attempts, number, words="", *, kernel=(), host=None):
    """An attempt whose process did not live to end it; with `kernel`, for want of memory."""
    name = f"{host or socket.gethostname()}-{number}"
    (attempts._work / f"{name}.crash").write_text(words)
    attempts._note(f"{name} {kernel[-1] if kernel else 7}")
    if kernel:
        kernel.append(str(int(kernel[-1]) + 1))


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


@pytest.mark.parametrize("starved", [False, True])
def test_a_kill_does_not_take_the_retry_of_an_error(attempts, kernel, starved):
    _cut(attempts, 1, kernel=kernel if starved else ())
    _fail(attempts)
    assert not attempts.exhausted()
    assert not attempts.want_solitude()
    _fail(attempts)
    assert attempts.exhausted()


def test_a_crash_after_an_error_is_enough_and_is_what_is_told(attempts):
    _fail(attempts)
    _cut(attempts, 1, "Fatal Python error: Aborted\n\nThread 1")
    assert attempts.exhausted().startswith("lost its worker (Fatal Python error: Aborted) and was")


def test_memory_that_lacks_twice_asks_for_solitude_and_a_third_time_is_enough(attempts, kernel):
    told = []
    for number in range(3):
        _cut(attempts, number, kernel=kernel)
        told.append((attempts.want_solitude(), bool(attempts.exhausted())))
    assert told == [(False, False), (True, False), (True, True)]


def test_kills_while_no_memory_lacked_are_not_the_fault_of_the_pair(attempts, kernel):
    for number in range(MAX_KILLED):
        assert not attempts.exhausted()
        _cut(attempts, number)
        assert not attempts.want_solitude()
    assert "killed from outside" in attempts.exhausted()


def test_memory_that_lacks_later_is_not_held_against_earlier_kills(attempts, kernel):
    for number in range(4):
        _cut(attempts, number)
    _cut(attempts, 4, kernel=kernel)
    assert not attempts.exhausted()
    assert not attempts.want_solitude()


def test_what_another_machine_counts_tells_nothing(attempts, kernel):
    for number in range(2):
        _cut(attempts, number, host=f"host{number}")
    assert attempts.want_solitude()


def test_an_attempt_that_outlives_its_run_raises_what_ended_it(attempts, tmp_path):
    def outlive():
        with attempts.attempt(None):
            shutil.rmtree(tmp_path)
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        outlive()
