import json
import os
import signal
import threading
import time

import psutil
import pytest

from refinefuse_med.batch import attempts, run
from refinefuse_med.batch.cluster import Sizing
from refinefuse_med.batch.journal import open_journal
from refinefuse_med.batch.outcome import BatchResult, Outcome
from refinefuse_med.batch.watcher import Stop, Watcher

from . import light


@pytest.fixture(scope="module")
def pool():
    with light.pool_of() as pool:
        yield pool


class _Kill(Watcher):
    """SIGKILL for every worker, once, when some pairs have ended."""

    pids: frozenset[int] = frozenset()
    ended: tuple[str, ...] = ()

    def begin(self, total, done, pool):
        self._pool = pool

    def outcome(self, outcome):
        self.ended += (outcome.name,)
        if len(self.ended) == 4:
            self.pids = frozenset(self._pool.client.run(os.getpid).values())
            for pid in self.pids:
                os.kill(pid, signal.SIGKILL)


def test_killed_workers_lose_nothing(pool, tmp_path):
    pairs = [light.pair(number) for number in range(8)]
    killer = _Kill()
    result = light.run(pairs, tmp_path / "out", pool, watchers=[killer])
    assert len(killer.pids) == 2
    assert [outcome.status for outcome in result.outcomes] == ["done"] * 8
    assert result.exit_status == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".batch",
        *(pair.name for pair in pairs),
    ]
    assert not any((tmp_path / "out" / ".batch" / "work").iterdir())
    # The fourth is being ended as they die.
    before = [pair for pair in pairs if pair.name in killer.ended[:3]]
    assert [light.tries(tmp_path / "out", pair) for pair in before] == [1, 1, 1]


def test_workers_that_are_killed_while_they_start_are_started_again(tmp_path):
    killed = []

    def workers():
        return {own for child in psutil.Process().children() for own in child.children()}

    def kill_the_first():
        while not killed:
            for worker in workers() - before:
                worker.kill()
                killed.append(worker.pid)
            time.sleep(0.01)

    before = workers()
    thread = threading.Thread(target=kill_the_first)
    thread.start()
    with light.pool_of(Sizing(cpu=1, gpu=0, threads=1, memory_bytes=0)) as pool:
        result = light.run([light.pair(1)], tmp_path, pool)
    thread.join()
    assert killed
    assert result.exit_status == 0


def test_workers_have_their_share_of_threads_and_malloc_as_it_is(pool):
    for environ in pool.client.run(lambda: dict(os.environ)).values():
        assert environ["OMP_NUM_THREADS"] == "1"
        assert "MALLOC_TRIM_THRESHOLD_" not in environ


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raises", "unexpected ValueError: no good"),
        ("fills the memory", "not enough memory; run fewer workers at a time with --jobs"),
        ("crashes", "lost its worker (Fatal Python error: Aborted) and was given up after 2"),
        ("reads at address 0", "lost its worker (Fatal Python error: Segmentation fault) and was"),
        ("hangs", "took longer than --timeout allows and was given up after 2 attempts"),
    ],
)
def test_a_pair_that_fails_costs_only_itself_and_is_tried_twice(pool, tmp_path, what, said):
    bad, *good = [light.pair(0, what), light.pair(1), light.pair(2)]
    timeout_s = 6 if what == "hangs" else None
    result = light.run([bad, *good], tmp_path / "out", pool, timeout_s=timeout_s)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "done", "done"]
    assert result.outcomes[0].error.startswith(said)
    assert result.exit_status == 8
    assert light.tries(tmp_path / "out", bad) == 2
    assert not (tmp_path / "out" / bad.name).exists()


def test_a_pair_that_lacks_memory_beside_others_is_done_alone_when_they_are(pool, tmp_path):
    pairs = [light.pair(0, "starves beside others"), *(light.pair(n) for n in range(1, 6))]
    result = light.run(pairs, tmp_path, pool)
    assert result.exit_status == 0
    assert light.tries(tmp_path, pairs[0]) == 3
    lines = (tmp_path / ".batch" / "journal.jsonl").read_text().splitlines()
    states = [json.loads(line) for line in lines if line]
    ended = [line["name"] for line in states if line["status"] == "done"]
    assert ended[-1] == pairs[0].name


def test_a_pair_that_lacks_memory_also_alone_is_given_up(pool, tmp_path):
    bad, *good = [light.pair(0, "starves"), light.pair(1), light.pair(2)]
    result = light.run([bad, *good], tmp_path, pool)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "done", "done"]
    assert result.outcomes[0].error.startswith("lost its worker 3 times, at last with no other")
    assert light.tries(tmp_path, bad) == 3


def test_a_pair_whose_worker_is_killed_from_outside_is_not_tried_for_ever(
    pool, tmp_path, monkeypatch
):
    monkeypatch.setattr(attempts, "MAX_KILLED", 3)  # here, where a lost worker is heard of
    bad, good = light.pair(0, "dies"), light.pair(1)
    result = light.run([bad, good], tmp_path, pool)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "done"]
    assert result.outcomes[0].error.startswith("lost its worker 3 times (killed from outside)")
    assert light.tries(tmp_path, bad) == 3


def test_a_pair_that_comes_again_while_a_folder_is_watched_has_its_two_attempts(pool, tmp_path):
    with open_journal(tmp_path / "out", light.SETTINGS, 1) as journal:
        for _ in range(2):
            result = light.run_with(journal, [light.pair(0, "raises")], pool)
            assert result.outcomes[0].error.startswith("unexpected ValueError")
    assert light.tries(tmp_path / "out", light.pair(0)) == 4


def test_pairs_that_wait_their_turn_where_others_die_are_not_blamed(tmp_path):
    what = ["starves", "starves", "wants more than its worker may take", "fine"]
    pairs = [light.pair(number, each) for number, each in enumerate(what)]
    with light.pool_of(Sizing(cpu=1, gpu=0, threads=1, memory_bytes=2 * 10**9)) as pool:
        result = light.run(pairs, tmp_path, pool)
    assert [outcome.status for outcome in result.outcomes] == [*["failed"] * 3, "done"]
    assert [light.tries(tmp_path, pair) for pair in pairs] == [3, 3, 2, 1]
    assert result.outcomes[2].error.startswith("not enough memory")


def test_a_pair_whose_workers_die_before_it_begins_is_given_up_too(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "MAX_LOSSES", 3)
    pairs = [light.pair(0, "dies before it begins"), light.pair(1)]
    result = light.run(pairs, tmp_path / "out", pool)
    assert [outcome.status for outcome in result.outcomes] == ["failed", "done"]
    assert result.outcomes[0].error.startswith("workers are lost before they can begin")


def test_a_full_disk_stops_the_run_and_says_so(pool, tmp_path):
    pairs = [light.pair(0, "fills the disk"), *(light.pair(n) for n in range(1, 12))]
    result = light.run(pairs, tmp_path / "out", pool)
    assert result.stopped == "the disk is full"
    statuses = [outcome.status for outcome in result.outcomes]
    assert statuses[0] == "failed"
    assert "pending" in statuses
    assert light.tries(tmp_path / "out", pairs[0]) == 1


def test_ctrl_c_finishes_what_is_in_work_and_begins_no_more(pool, tmp_path):
    stop = Stop()

    class Interrupt(Watcher):
        def outcome(self, outcome):
            stop.handing_out = True
            assert stop.in_work

    pairs = [light.pair(number) for number in range(12)]
    result = light.run(pairs, tmp_path / "out", pool, watchers=[Interrupt()], stop=stop)
    assert not stop.in_work
    statuses = [outcome.status for outcome in result.outcomes]
    assert result.exit_status == 130
    assert 1 < statuses.count("done") < 12
    assert set(statuses) == {"done", "pending"}
    again = light.run(pairs, tmp_path / "out", pool)
    assert again.exit_status == 0
    assert {light.tries(tmp_path / "out", pair) for pair in pairs} == {1}


def test_no_more_pairs_are_begun_than_workers_need(pool, tmp_path):
    begun = []

    class Count(Watcher):
        def outcome(self, outcome):
            lines = (tmp_path / "out" / ".batch" / "journal.jsonl").read_text().splitlines()
            states = [json.loads(line)["status"] for line in lines if line]
            begun.append(states.count("begun") - states.count("done"))

    light.run([light.pair(n) for n in range(8)], tmp_path / "out", pool, watchers=[Count()])
    assert max(begun) <= 2 + 1


def test_registrations_run_ahead_on_the_cores_while_the_gpu_fuses(tmp_path):
    pairs = [light.pair(n) for n in range(6)]
    with light.pool_of(Sizing(cpu=1, gpu=1, threads=1, memory_bytes=0)) as pool:
        result = light.run(pairs, tmp_path, pool, fuse=light.where, register=light.where)
    assert result.exit_status == 0
    order = (tmp_path / ".batch" / "order").read_text().splitlines()
    assert sorted(set(order)) == ["fuse GPU", "register CPU"]
    assert order.index("fuse GPU") < 4
    assert order.count("fuse GPU") == order.count("register CPU") == 6


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([0, 0], 0), ([0, 4], 8), ([4, 4], 4), ([4, 1], 1), ([5], 5)],
)
def test_exit_status_tells_all_some_or_none(statuses, expected):
    outcomes = tuple(
        Outcome(str(n), "failed" if status else "done", exit_status=status)
        for n, status in enumerate(statuses)
    )
    assert BatchResult(outcomes).exit_status == expected
