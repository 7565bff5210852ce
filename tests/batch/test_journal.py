import errno
import json
import multiprocessing
import time
from dataclasses import replace

import pytest

from refinefuse_med.batch.journal import Shard, open_journal
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.errors import OutputError

from . import light

SETTINGS = {"engine": {"plane": "axial"}, "seed": 0}


def _finish(journal, pair, text="result"):
    journal.begin(pair)
    folder = journal.work / pair.name
    folder.mkdir()
    (folder / "result.json").write_text(text)
    journal.end(pair, Outcome(pair.name, "done", verdict="ok", warnings=("one",)))


def test_what_is_done_is_known_to_the_next_run(tmp_path):
    pair = light.pair(1)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, pair)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        assert journal.is_done(pair)
        assert journal.outcome_of(pair).warnings == ("one",)
        assert not journal.is_done(light.pair(2))


@pytest.mark.parametrize("role", ["anatomical", "functional"])
def test_a_pair_with_other_images_is_not_done(tmp_path, role):
    pair = light.pair(1)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, pair)
        side = replace(getattr(pair, role), content="one image more")
        assert not journal.is_done(replace(pair, **{role: side}))


def test_a_pair_whose_folder_is_gone_is_not_done(tmp_path):
    pair = light.pair(1)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, pair)
        (tmp_path / pair.name).rename(tmp_path / "elsewhere")
        assert not journal.is_done(pair)


def test_a_pair_that_was_begun_again_and_not_ended_is_not_done(tmp_path):
    pair = light.pair(1)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, pair)
        journal.begin(pair)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        assert not journal.is_done(pair)


def test_a_line_that_was_cut_hides_no_other(tmp_path):
    one, other = light.pair(1), light.pair(2)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, one)
        with (tmp_path / ".batch" / "journal.jsonl").open("a") as file:
            file.write('{"name": "MR-PT-')
        _finish(journal, other)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        assert journal.is_done(one)
        assert journal.is_done(other)


def test_a_clock_that_is_put_back_hides_nothing(tmp_path, monkeypatch):
    clock = iter(range(1000, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    one, other = light.pair(1), light.pair(2)
    for pair in (one, other):
        with open_journal(tmp_path, SETTINGS, 1) as journal:
            journal.begin(pair)
            journal.end(pair, Outcome(pair.name, "failed", error="no good"))
            _finish(journal, pair)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        assert journal.is_done(one)
        assert journal.is_done(other)


def test_an_earlier_result_stays_until_its_successor_is_complete(tmp_path):
    pair = light.pair(1)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        _finish(journal, pair, "old")
    with open_journal(tmp_path, {"seed": 1}, 1, redo=True) as journal:
        assert not journal.is_done(pair)
        journal.begin(pair)
        assert (tmp_path / pair.name / "result.json").read_text() == "old"
        _finish(journal, pair, "new")
        assert (tmp_path / pair.name / "result.json").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".batch", pair.name]


def test_other_settings_are_refused_by_name(tmp_path):
    with open_journal(tmp_path, SETTINGS, 1):
        pass
    changed = {"engine": {"plane": "coronal"}, "seed": 0}
    with pytest.raises(OutputError, match=r"other settings \(engine.plane\)"):
        open_journal(tmp_path, changed, 1).__enter__()


def test_the_first_run_decides_on_the_threads(tmp_path):
    with open_journal(tmp_path, SETTINGS, 2):
        pass
    with open_journal(tmp_path, SETTINGS, 4) as journal:
        assert journal.threads == 2


def _hold(out, shard, ready, end):
    with open_journal(out, SETTINGS, 1, shard):
        ready.set()
        end.wait(60)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (Shard(), Shard(), False),
        (Shard(1, 2), Shard(2, 2), True),
        (Shard(1, 2), Shard(1, 2), False),
        (Shard(1, 2), Shard(), False),
    ],
)
def test_two_batches_work_on_one_folder_only_as_different_shards(tmp_path, one, other, together):
    spawn = multiprocessing.get_context("spawn")
    ready, end = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_hold, args=(tmp_path, one, ready, end))
    process.start()
    try:
        assert ready.wait(60)
        if together:
            with open_journal(tmp_path, SETTINGS, 1, other):
                pass
        else:
            with pytest.raises(OutputError, match="another batch is at work here"):
                open_journal(tmp_path, SETTINGS, 1, other).__enter__()
    finally:
        end.set()
        process.join(60)
    with open_journal(tmp_path, SETTINGS, 1, other):
        pass


def test_shards_share_out_every_pair_once():
    pairs = [light.pair(number * 7919) for number in range(50)]
    shares = [[p for p in pairs if Shard(n, 3).takes(p)] for n in (1, 2, 3)]
    assert sorted(p.name for share in shares for p in share) == sorted(p.name for p in pairs)
    assert all(shares)


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OutputError, match=r"cannot be locked \(No locks available\); write else"):
        open_journal(tmp_path, SETTINGS, 1).__enter__()


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("precious")
    with pytest.raises(OutputError, match="already exists"):
        open_journal(tmp_path, SETTINGS, 1).__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


def test_what_a_killed_run_left_behind_is_cleared_away(tmp_path):
    left = tmp_path / ".batch" / "work" / "1-of-1" / "abc" / "MR-PT-1"
    left.mkdir(parents=True)
    with open_journal(tmp_path, SETTINGS, 1) as journal:
        assert not left.exists()
        assert journal.work.is_dir()
    assert not any((tmp_path / ".batch" / "work").iterdir())
    assert json.loads((tmp_path / ".batch" / "run.json").read_text())["settings"] == SETTINGS
