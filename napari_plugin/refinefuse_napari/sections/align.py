"""Align: how, the verdict, and what can be done by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from refinefuse_med import config as configs
from refinefuse_med.errors import CancelledError, RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._aligning import align, verdict_in_words
from refinefuse_napari._controller import Action
from refinefuse_napari._labels import Chip, Note
from refinefuse_napari._outcome import Alignment, Outcome, Request
from refinefuse_napari._place import Nudge, by_headers, by_nudge, from_file, judge, save_transform
from refinefuse_napari._widgets import ActionButton, Fold, Section, choice, row, spin
from refinefuse_napari._worker import Latest
from refinefuse_napari.sections.landmarks import Landmarks

if TYPE_CHECKING:
    from refinefuse_med.progress import Monitor
    from refinefuse_napari._session import Session

__all__ = ["Align"]

_JUDGED_AFTER_MS = 600
_FILES = "ITK transforms (*.tfm *.txt)"


class Align(Section):
    """Method, run, verdict; nudge, landmarks, reset, transform files."""

    def __init__(self, session: Session) -> None:
        super().__init__(texts.ALIGN)
        self._session = session
        self._base: Alignment | None = None
        self._latest = Latest(parent=self)
        self._latest.came.connect(self._nudged)
        self._judging = Latest(_JUDGED_AFTER_MS, parent=self)
        self._judging.came.connect(self._nudged)
        self.method = choice(
            configs.RegistrationConfig,
            "method",
            lambda value: session.option("registration", "method", value),
        )
        self.align = ActionButton("Align", self.run, "align")
        self.verdict, self.doubts = Chip(), Note()
        self.form.addRow("Method", self.method)
        self.form.addRow(self.align)
        self.form.addRow(self.verdict)
        self.form.addRow(self.doubts)

        self.hand = hand = Fold("By hand")
        self.shift = [spin(-300, 300, 1, "mm", texts.TIPS["shift"]) for _ in texts.NUDGES]
        self.turn = [spin(-180, 180, 1, "°", texts.TIPS["turn"]) for _ in texts.NUDGES]
        hand.form.addRow("", row(Note(texts.SHIFT), Note(texts.TURN)))
        for name, shift, turn in zip(texts.NUDGES, self.shift, self.turn, strict=True):
            hand.form.addRow(name, row(shift, turn))
            shift.valueChanged.connect(self._nudge)
            turn.valueChanged.connect(self._nudge)
        self.stays = Note()
        hand.form.addRow(self.stays)
        self.reset = ActionButton("Reset to the headers", self._reset, "reset")
        self.load = ActionButton("Load transform…", self._load, "load_transform")
        self.save = ActionButton("Save transform…", self._save, "save_transform")
        for action in (self.reset, self.load, self.save):
            hand.form.addRow(action)
        self.form.addRow(hand)
        self.landmarks = Landmarks(session, self.adjust)
        self.form.addRow(self.landmarks)

    def refresh(self) -> None:
        """Say what can be done, and show the verdict."""
        controller = self._session.controller
        self.align.allow(controller.why_not(Action.ALIGN))
        for action in (self.reset, self.load):
            action.allow(controller.why_not(Action.ADJUST))
        self.save.allow(controller.why_not(Action.SAVE_TRANSFORM))
        self.landmarks.refresh()
        alignment = controller.alignment
        stays = controller.why_not(Action.SAVE_TRANSFORM)
        if stays is None and alignment is not None and alignment.is_deformed:
            stays = texts.DEFORMED
        for box in (*self.shift, *self.turn):
            box.setEnabled(stays is None)
        self.stays.setText(stays or "")
        self.stays.setVisible(bool(stays) and stays != texts.BUSY)
        doubts = ""
        if alignment is None:
            self.verdict.say("", None)
        else:
            registration = alignment.pair.registration
            self.verdict.say(verdict_in_words(registration.to_dict()), registration.verdict)
            lines = registration.warnings if alignment.judged else ()
            doubts = "\n".join(f"– {line}" for line in lines)
        self.doubts.setText(doubts)
        self.doubts.setVisible(bool(doubts))
        if alignment is not None and alignment.base is not None:
            self._base = alignment.base
        elif alignment is not self._base:
            self._latest.drop()
            self._judging.drop()
            self._base = alignment
            self._set_nudge(Nudge())

    def run(self) -> None:
        """Align by the method chosen."""
        self._with_request(Action.ALIGN, lambda request, _: lambda monitor: align(request, monitor))

    def adjust(self, work: Callable[[Request, Alignment | None, Monitor], Outcome]) -> None:
        """Run something that gives an alignment without searching for it."""
        self._with_request(
            Action.ADJUST,
            lambda request, known: lambda monitor: work(request, known, monitor),
        )

    def nudge(self) -> Nudge:
        """What the boxes say."""
        (left, back, up), (about_left, about_back, about_up) = (
            [box.value() for box in boxes] for boxes in (self.shift, self.turn)
        )
        return Nudge((left, back, up), (about_left, about_back, about_up))

    def _with_request(
        self,
        action: Action,
        make: Callable[[Request, Alignment | None], Callable[[Monitor], Outcome]],
    ) -> None:
        self._latest.drop()
        self._judging.drop()
        try:
            request = self._session.request()
        except RefineFuseError as error:
            self._session.tell(error)
            return
        self._session.run(action, make(request, self._session.controller.alignment))

    def _nudge(self) -> None:
        self._judging.drop()
        base, nudge = self._base, self.nudge()
        if base is not None:
            self._latest.ask(lambda monitor: by_nudge(base, nudge, monitor))

    def _nudged(self, ended: object) -> None:
        if isinstance(ended, Outcome):
            self._session.take(ended)
            alignment = self._session.controller.alignment
            if alignment is not None and not alignment.judged:
                self._judging.ask(lambda monitor: judge(alignment, monitor))
        elif isinstance(ended, Exception) and not isinstance(ended, CancelledError):
            self._session.tell(ended)

    def _set_nudge(self, nudge: Nudge) -> None:
        values = (*nudge.shift_mm, *nudge.turn_degrees)
        for box, value in zip((*self.shift, *self.turn), values, strict=True):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)

    def _reset(self) -> None:
        self.adjust(by_headers)

    def _load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load transform", filter=_FILES)
        if path:
            self.adjust(
                lambda request, known, monitor: from_file(request, known, Path(path), monitor)
            )

    def _save(self) -> None:
        alignment = self._session.controller.alignment
        path, _ = QFileDialog.getSaveFileName(self, "Save transform", "transform.tfm", _FILES)
        if path and alignment is not None:
            self._session.run(
                Action.SAVE_TRANSFORM,
                lambda monitor: save_transform(alignment, Path(path), monitor),
            )
