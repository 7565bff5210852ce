from pathlib import Path

import pytest

from refinefuse_med.batch.plan import BatchPlan, make_plan
from refinefuse_med.batch.watch import Arrivals, plans_of_arrivals
from refinefuse_med.errors import NoPairError
from refinefuse_med.sample import make_sample


class _Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return _Clock()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch") / "study"
    make_sample(folder, dicom=True)
    return folder


def _arrive(study, root, name, part=slice(None)):
    (root / name).mkdir(parents=True, exist_ok=True)
    for path in sorted((study / name).iterdir())[part]:
        (root / name / path.name).write_bytes(path.read_bytes())


def test_a_person_is_waited_for_until_all_series_have_settled(study, root, clock):
    arrivals = Arrivals(root, settle_s=60, clock=clock)
    cache = {}

    def plan():
        arrivals.look()
        return make_plan(root, is_arriving=arrivals.is_arriving, cache=cache)

    _arrive(study, root, "PT")
    _arrive(study, root, "CT")
    with pytest.raises(NoPairError, match="still arriving"):
        plan()
    clock.now = 61
    _arrive(study, root, "MR", slice(0, None, 2))
    with pytest.raises(NoPairError):
        plan()
    clock.now = 100
    _arrive(study, root, "MR", slice(1, None, 2))
    with pytest.raises(NoPairError):
        plan()
    clock.now = 161
    assert [p.name[:5] for p in plan().pairs] == ["MR-CT", "MR-PT"]


def test_a_plan_is_made_only_when_something_has_changed(study, root, clock):
    arrivals = Arrivals(root, settle_s=10, clock=clock)
    looks = iter(range(7))
    made = []

    def is_over():
        look = next(looks, None)
        clock.now += 4
        if look == 2:
            (root / "new").write_text("x")
        return look is None

    def plan():
        made.append(clock.now)
        return BatchPlan(Path(), (), ())

    assert len(list(plans_of_arrivals(arrivals, plan, is_over, poll_s=0))) == 2
    assert made[1] - made[0] >= 10


def test_what_has_not_changed_is_not_read_again(study, root, monkeypatch):
    from refinefuse_med.batch import scan

    _arrive(study, root, "PT")
    _arrive(study, root, "MR")
    cache, read = {}, []
    inspect = scan.inspect_files

    def count(files, **options):
        files = list(files)
        read.append(Path(files[0][1]).parts[0])
        return inspect(files, **options)

    monkeypatch.setattr(scan, "inspect_files", count)
    first = make_plan(root, cache=cache)
    _arrive(study, root, "CT")
    second = make_plan(root, cache=cache)
    assert sorted(read) == ["CT", "MR", "PT"]
    assert {p.name for p in first.pairs} < {p.name for p in second.pairs}
