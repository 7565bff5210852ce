"""Where the panel stands, without Qt: a state machine over inputs, alignment and fusion.

The panel tells it what is chosen, asks it what can be done and why not, and brings it what the
work in the other thread has left behind. It holds no layer and does no work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.errors import CancelledError, UsageError, told
from refinefuse_napari import _texts as texts
from refinefuse_napari._outcome import Alignment, Fusion, Outcome, Scale
from refinefuse_napari._pair import Word, judge

if TYPE_CHECKING:
    from refinefuse_napari._snapshot import LayerSnapshot

__all__ = ["Action", "Controller", "State"]


class State(StrEnum):
    """What the panel is doing."""

    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What a user can ask for."""

    OPEN = "open"
    ALIGN = "align"
    ADJUST = "adjust"
    SAVE_TRANSFORM = "save_transform"
    PREVIEW = "preview"
    FUSE = "fuse"
    COMPARE = "compare"
    CONTRIBUTION = "contribution"
    EXPORT = "export"


_ON_PAIR = frozenset({Action.ALIGN, Action.ADJUST, Action.FUSE})
_ON_ALIGNMENT = frozenset({Action.SAVE_TRANSFORM, Action.PREVIEW, Action.COMPARE})


class Controller:
    """State of one panel; for the main thread alone.

    Parameters
    ----------
    on_change : callable, optional
        Called without arguments after each change.

    Attributes
    ----------
    state : State
    outcome : Outcome or None
        Of the last work.
    error : Exception or None
        That ended the last work.
    words : tuple of Word
        What there is to say of the pair that is chosen.
    """

    def __init__(self, on_change: Callable[[], None] | None = None) -> None:
        self.state = State.IDLE
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.words: tuple[Word, ...] = judge(None, None)
        self._pair: tuple[LayerSnapshot, LayerSnapshot] | None = None
        self._alignment: Alignment | None = None
        self._fusion: Fusion | None = None
        self._scale: Scale | None = None
        self._on_change = on_change or (lambda: None)

    @property
    def alignment(self) -> Alignment | None:
        """That of the pair chosen, where it stands as it stood."""
        return self._alignment if self._is_of_pair(self._alignment) else None

    @property
    def fusion(self) -> Fusion | None:
        """That of the pair chosen, with the alignment that there is now."""
        if self._fusion is None or self._fusion.alignment is not self.alignment:
            return None
        return self._fusion

    @property
    def scale(self) -> Scale | None:
        """The colours of the functional scan, where there is an alignment."""
        return self._scale if self.alignment else None

    def choose(
        self,
        anatomical: LayerSnapshot | None,
        functional: LayerSnapshot | None,
        config: RegistrationConfig | None = None,
    ) -> None:
        """Take two layers, as they stand now, as the pair to work on, to be aligned so."""
        both = anatomical is not None and functional is not None
        self._pair = (anatomical, functional) if both else None  # type: ignore[assignment]
        self.words = judge(anatomical, functional, config or RegistrationConfig())
        self._on_change()

    def forget_all_but(self, layer_ids: Collection[str]) -> None:
        """Let go of what was made of layers that are no more."""
        if self._alignment is not None:
            request = self._alignment.request
            if not {request.anatomical.layer_id, request.functional.layer_id} <= set(layer_ids):
                self._alignment = self._fusion = None

    def let_go_of_fusion(self) -> None:
        """Make room for another: there is nothing to export until that is done."""
        self._fusion = None

    def why_not(self, action: Action) -> str | None:
        """Why `action` cannot be done now; None where it can."""
        if self.state is State.RUNNING:
            return texts.BUSY
        if action in _ON_PAIR and (stop := self._stop()):
            return stop
        if action in _ON_ALIGNMENT and self.alignment is None:
            return self._stop() or texts.NOT_ALIGNED
        if action in (Action.CONTRIBUTION, Action.EXPORT) and self.fusion is None:
            return self._stop() or texts.NOT_FUSED
        return None

    def known(self, config: RegistrationConfig) -> Alignment | None:
        """The alignment that a fusion with this configuration may take as it is."""
        alignment = self.alignment
        if alignment is None or alignment.given:
            return alignment
        before = alignment.request.config.registration
        same = before.model_copy(update={"force": config.force}) == config
        return alignment if same else None

    def begin(self, action: Action) -> None:
        """Go to work.

        Raises
        ------
        UsageError
            It cannot be done now.
        """
        if reason := self.why_not(action):
            raise UsageError(f"cannot {action.replace('_', ' ')} now", hint=reason)
        self._go(State.RUNNING)

    def finish(self, outcome: Outcome) -> None:
        """The work is done: take over what it found."""
        self.error = None
        self._take_over(outcome)
        self._go(State.DONE)

    def adjust(self, outcome: Outcome) -> bool:
        """Take over what was found beside the work; False where it comes too late."""
        alignment = outcome.alignment
        if self.state is State.RUNNING or not self._is_of_pair(alignment):
            return False
        self._take_over(outcome)
        self._on_change()
        return True

    def _take_over(self, outcome: Outcome) -> None:
        # The layers are the viewer's from now on: one that is removed there is to be gone.
        # Of volumes there are enough below.
        self.outcome = replace(outcome, layer=None, opened=(), alignment=None, fusion=None)
        if outcome.alignment is not None:
            self._alignment = outcome.alignment
        if outcome.fusion is not None:
            self._fusion = outcome.fusion
        self._scale = outcome.scale or self._scale

    def fail(self, error: Exception) -> None:
        """The work has ended in an error, or was stopped on request."""
        stopped = isinstance(error, CancelledError)
        summary = str(told(error, hint=texts.REPORT_IT))
        before = self.outcome or Outcome("")
        self.outcome = replace(before, summary=texts.STATES["cancelled"] if stopped else summary)
        self.error = None if stopped else error
        self._go(State.CANCELLED if stopped else State.FAILED)

    def _stop(self) -> str | None:
        if self._pair is None:
            return texts.NO_INPUTS
        stop = next((word.text for word in self.words if word.stops), None)
        return stop and texts.BAD_PAIR.format(stop)

    def _is_of_pair(self, alignment: Alignment | None) -> bool:
        if alignment is None or self._pair is None:
            return False
        anatomical, functional = self._pair
        request = alignment.request
        return request.anatomical.same_as(anatomical) and request.functional.same_as(functional)

    def _go(self, state: State) -> None:
        self.state = state
        self._on_change()
