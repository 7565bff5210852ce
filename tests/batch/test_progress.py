import io
import logging
import signal
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.cli.batch_progress import _Bars, _Lines, stopping

POOL = SimpleNamespace(dashboard="http://127.0.0.1:1/status")
OPTIONS = ("MR-PT-1", "done", "ok")


def _follow(watcher):
    watcher.begin(3, 1, POOL)
    watcher.stage("MR-PT-1", "register", 0.5)
    watcher.outcome(Outcome(*OPTIONS, seconds=2.0))
    watcher.outcome(Outcome("MR-PT-2", "failed", error="no good", exit_status=4))


@pytest.fixture
def lines(monkeypatch):
    """What is logged, whatever other tests have done to our logger."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("refinefuse_med")
    monkeypatch.setattr(logger, "handlers", [handler])
    level = logger.level
    logger.setLevel(logging.INFO)
    yield records
    logger.setLevel(level)


def test_lines_tell_each_pair_and_the_time_that_remains(lines):
    _follow(_Lines())
    first, done, failed = (record.getMessage() for record in lines)
    assert first == "3 pairs, 1 of them done before; dashboard: http://127.0.0.1:1/status"
    assert done.startswith("2/3 MR-PT-1: ok, 2.0 s; about ")
    assert failed == "3/3 MR-PT-2: no good"
    assert lines[1].fields["verdict"] == "ok"


def test_bars_are_one_for_the_whole_and_one_for_each_pair_in_work():
    console = Console(file=io.StringIO(), force_terminal=True)
    with Progress(console=console) as progress:
        bars = _Bars(progress)
        _follow(bars)
        bars.begin(5, 3, POOL)
        bars.stage("MR-PT-3", "fuse", 0.25)
        shown = {task.description: (task.completed, task.total) for task in progress.tasks}
    assert shown == {"pairs": (3, 5), "MR-PT-3 fuse": (0.25, 1.0)}


@pytest.mark.parametrize(
    ("in_work", "said"),
    [
        (
            True,
            ["finishing the pairs in work; Ctrl-C again drops them", "dropping the pairs in work"],
        ),
        (False, ["stopping; no pair is in work"] * 2),
    ],
)
def test_ctrl_c_says_what_becomes_of_the_pairs_in_work_if_there_are_any(lines, in_work, said):
    with stopping() as stop:
        stop.in_work = in_work
        asked = []
        for _ in said:
            signal.raise_signal(signal.SIGINT)
            asked.append((stop.handing_out, stop.at_once))
    assert [record.getMessage() for record in lines] == said
    assert asked == [(True, False), (True, True)]
