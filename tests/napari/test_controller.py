"""Where the panel stands, and what can be done from there: no window, no layer drawn."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Image

from refinefuse_med.config import FusionConfig
from refinefuse_med.errors import CancelledError, UsageError
from refinefuse_napari import _texts as texts
from refinefuse_napari._aligning import align
from refinefuse_napari._controller import Action, Controller, State
from refinefuse_napari._fusing import Models, fuse
from refinefuse_napari._outcome import Outcome, Request
from refinefuse_napari._snapshot import snapshot


@pytest.fixture
def controller(anatomical, functional):
    controller = Controller()
    controller.choose(snapshot(anatomical), snapshot(functional))
    return controller


@pytest.fixture
def request_(anatomical, functional):
    config = FusionConfig.model_validate({"registration": {"method": "header"}})
    return Request(snapshot(anatomical), snapshot(functional), config)


def do(controller, action, work):
    controller.begin(action)
    outcome = work()
    controller.finish(outcome)
    return outcome


def reasons(controller):
    return {a: controller.why_not(a) for a in Action if a is not Action.OPEN}


def test_without_two_scans_the_user_is_told_to_open_some(anatomical):
    controller = Controller()
    assert set(reasons(controller).values()) == {texts.NO_INPUTS}
    assert controller.why_not(Action.OPEN) is None
    controller.choose(snapshot(anatomical), None)
    assert controller.why_not(Action.FUSE) == texts.NO_INPUTS


def test_each_step_waits_for_the_one_before(controller, request_):
    assert controller.why_not(Action.ALIGN) is None
    assert controller.why_not(Action.FUSE) is None
    assert controller.why_not(Action.PREVIEW) == texts.NOT_ALIGNED
    assert controller.why_not(Action.EXPORT) == texts.NOT_FUSED
    aligned = do(controller, Action.ALIGN, lambda: align(request_))
    assert controller.why_not(Action.PREVIEW) is None
    assert controller.why_not(Action.CONTRIBUTION) == texts.NOT_FUSED
    do(controller, Action.FUSE, lambda: fuse(request_, aligned.alignment, Models()))
    assert set(reasons(controller).values()) == {None}


def test_nothing_that_was_made_outlives_its_layers(controller, request_, anatomical):
    do(controller, Action.ALIGN, lambda: align(request_))
    do(controller, Action.FUSE, lambda: fuse(request_, controller.alignment, Models()))
    result = controller.fusion.result
    made = (result.functional_registered, result.fused, result.contribution)
    alive = [weakref.ref(volume) for volume in made]
    del result, made
    gc.collect()
    assert all(known() is not None for known in alive)
    controller.choose(None, None)
    controller.forget_all_but([str(anatomical.unique_id)])
    gc.collect()
    assert [known() for known in alive] == [None] * 3
    assert controller.outcome.summary == texts.FUSED


def test_a_fusion_that_is_let_go_of_is_gone_before_the_next(controller, request_):
    fusion = do(controller, Action.FUSE, lambda: fuse(request_, None, Models())).fusion
    alive = weakref.ref(fusion.result.contribution)
    del fusion
    controller.let_go_of_fusion()
    gc.collect()
    assert alive() is None
    assert controller.alignment is not None
    assert controller.why_not(Action.EXPORT) == texts.NOT_FUSED


def test_while_work_is_running_there_is_no_other(controller):
    controller.begin(Action.ALIGN)
    assert set(reasons(controller).values()) == {texts.BUSY}
    with pytest.raises(UsageError, match="wait for the work"):
        controller.begin(Action.FUSE)


def test_a_pair_that_cannot_be_says_so_at_each_step(anatomical):
    controller = Controller()
    shot = snapshot(anatomical)
    controller.choose(shot, shot)
    assert texts.ONE_LAYER in controller.why_not(Action.FUSE)
    with pytest.raises(UsageError, match="two different scans"):
        controller.begin(Action.ALIGN)


def test_an_alignment_holds_only_while_the_layers_stand(
    controller, request_, anatomical, functional
):
    do(controller, Action.ALIGN, lambda: align(request_))
    before = controller.alignment
    functional.translate = (0, 5, 0)
    controller.choose(snapshot(anatomical), snapshot(functional))
    assert controller.alignment is None
    assert controller.why_not(Action.PREVIEW) == texts.NOT_ALIGNED
    functional.translate = (0, 0, 0)
    controller.choose(snapshot(anatomical), snapshot(functional))
    assert controller.alignment is before


def test_a_new_alignment_makes_the_fusion_stale(controller, request_):
    aligned = do(controller, Action.ALIGN, lambda: align(request_))
    do(controller, Action.FUSE, lambda: fuse(request_, aligned.alignment, Models()))
    assert controller.fusion is not None
    do(controller, Action.ALIGN, lambda: align(request_))
    assert controller.fusion is None
    assert controller.why_not(Action.EXPORT) == texts.NOT_FUSED


def test_an_alignment_is_known_to_the_method_it_was_made_with(controller, request_):
    aligned = do(controller, Action.ALIGN, lambda: align(request_)).alignment
    config = request_.config.registration
    assert controller.known(config) is aligned
    assert controller.known(config.model_copy(update={"force": True})) is aligned
    assert controller.known(config.model_copy(update={"method": "rigid"})) is None


def test_what_comes_by_hand_while_work_is_running_is_too_late(controller, request_):
    outcome = align(request_)
    controller.begin(Action.FUSE)
    assert not controller.adjust(outcome)
    controller.fail(CancelledError("stopped on request"))
    assert controller.adjust(outcome)
    assert controller.alignment is outcome.alignment


def test_what_comes_by_hand_for_other_layers_is_not_taken(controller, request_, functional):
    outcome = align(request_)
    controller.choose(snapshot(Image(np.zeros((2, 3, 4)), units="mm")), snapshot(functional))
    assert not controller.adjust(outcome)


def test_the_state_follows_the_work(controller):
    states = []
    controller._on_change = lambda: states.append(controller.state)
    controller.begin(Action.ALIGN)
    controller.finish(Outcome("done"))
    controller.begin(Action.ALIGN)
    controller.fail(CancelledError("stopped on request"))
    assert controller.error is None
    controller.begin(Action.ALIGN)
    controller.fail(ValueError("broken"))
    assert states == [
        State.RUNNING,
        State.DONE,
        State.RUNNING,
        State.CANCELLED,
        State.RUNNING,
        State.FAILED,
    ]
    assert controller.outcome.summary == f"unexpected ValueError: broken; {texts.REPORT_IT}"
    assert isinstance(controller.error, ValueError)


def test_full_memory_is_told_with_what_to_do(controller):
    controller.begin(Action.ALIGN)
    controller.fail(MemoryError())
    assert controller.outcome.summary.startswith("not enough memory; close other programs")


def test_work_that_failed_leaves_the_alignment_as_it_was(controller, request_):
    aligned = do(controller, Action.ALIGN, lambda: align(request_)).alignment
    controller.begin(Action.FUSE)
    controller.fail(ValueError("broken"))
    assert controller.alignment is aligned


def test_what_was_made_of_a_layer_that_is_gone_is_let_go(controller, request_, anatomical):
    made = do(controller, Action.ALIGN, lambda: align(request_))
    ids = {request_.anatomical.layer_id, request_.functional.layer_id}
    controller.forget_all_but(ids | {"another"})
    assert controller.alignment is made.alignment
    assert controller.outcome.layer is None
    controller.forget_all_but({request_.anatomical.layer_id})
    assert controller.alignment is None
