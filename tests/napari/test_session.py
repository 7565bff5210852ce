"""What becomes of work whose scans are renamed or removed meanwhile; no window is shown."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject

from refinefuse_napari import _texts as texts
from refinefuse_napari._bridge import image_layer
from refinefuse_napari._controller import Action, State
from refinefuse_napari._fusing import Models, fuse
from refinefuse_napari._results import RESULT
from refinefuse_napari._session import Session


@pytest.fixture
def session(qtbot, pair):
    """A session over both scans of `pair`, in the midst of a fusion; and what lets that go on."""
    viewer, parent, goes_on = ViewerModel(), QObject(), threading.Event()
    for volume, name in zip(pair, ("MR", "PT"), strict=True):
        data, attributes, _ = image_layer(volume, name)
        viewer.add_image(data, **attributes)
    session = Session(viewer, parent)
    session.option("registration", "method", "header")
    session.choose(*viewer.layers)
    request = session.request()

    def work(monitor):
        assert goes_on.wait(60)
        return fuse(request, None, Models(), monitor)

    def end():
        goes_on.set()
        qtbot.waitUntil(lambda: session.controller.state is not State.RUNNING, timeout=60_000)
        assert session.controller.state is State.DONE, session.details

    session.run(Action.FUSE, work)
    yield session, end
    goes_on.set()
    qtbot.waitUntil(lambda: session.controller.state is not State.RUNNING, timeout=60_000)
    qtbot.waitUntil(lambda: session.machine is not None, timeout=60_000)


@pytest.mark.parametrize("name", ["MR", "PT"])
def test_a_scan_that_is_removed_meanwhile_leaves_nothing_of_its_fusion(session, name):
    session, end = session
    session.viewer.layers.remove(name)
    end()
    assert len(session.viewer.layers) == 1
    assert notification_manager.records[-1].message == texts.ORPHAN
    assert session.controller._fusion is None
    assert session.controller._alignment is None


def test_a_scan_that_is_renamed_meanwhile_is_still_itself(session):
    session, end = session
    session.viewer.layers["MR"].name = "head"
    end()
    assert session.controller.fusion is not None
    assert [layer.name for layer in session.viewer.layers if RESULT in layer.metadata] == [
        "MR + PT: fused"
    ]
