"""The Qt side of the controller: threads, layers and notifications around it."""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from refinefuse_med.errors import RefineFuseError, UsageError
from refinefuse_napari import _results as results
from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action, Controller
from refinefuse_napari._estimate import Machine
from refinefuse_napari._fusing import Models
from refinefuse_napari._notices import notify
from refinefuse_napari._opening import open_scans
from refinefuse_napari._options import Options
from refinefuse_napari._outcome import Outcome, Request
from refinefuse_napari._settings import read_settings
from refinefuse_napari._snapshot import LayerSnapshot, snapshot
from refinefuse_napari._worker import Job, Turns, Work

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from refinefuse_napari._bridge import LayerData

__all__ = ["Session"]


class Session(QObject):
    """What the sections of one panel share.

    Attributes
    ----------
    viewer, controller, models, job, options
    machine : Machine or None
        None until it is measured.
    details : str
        Of the last error, for a bug report.
    """

    changed = Signal()
    """The controller, the options or the pair."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.controller = Controller(self.changed.emit)
        self.models = Models()
        self.machine: Machine | None = None
        self.details = ""
        self.anatomical: Image | None = None
        self.functional: Image | None = None
        self.options = Options()
        self._turns = Turns(self)
        self.job = Job(self)
        self.job.ended.connect(self._end)
        # torch takes seconds to load: the window does not wait for it.
        self._measuring = Job(self)
        self._measuring.ended.connect(self._measured)
        models = self.models
        self._measuring.start(lambda monitor: Machine.measure(models.get(None)))

    def option(self, group: str, name: str, value: Any) -> None:
        """Note what the user wants of a configuration."""
        self.options.note(group, name, value)
        if group == "registration":
            self.look_again()
        else:
            self.changed.emit()

    def choose(self, anatomical: Image | None, functional: Image | None) -> None:
        """Take two layers as the pair."""
        self.anatomical, self.functional = anatomical, functional
        self.look_again()

    def look_again(self) -> None:
        """Tell the controller how the two layers stand now."""
        self.controller.choose(*self.shots(), self.options.registration)

    def request(self) -> Request:
        """The pair and the configuration, as they are now.

        Raises
        ------
        UsageError
            There is no pair, or an option cannot be.
        """
        self.look_again()
        anatomical, functional = self.shots()
        if anatomical is None or functional is None:
            raise UsageError("two scans are needed")
        return Request(anatomical, functional, self.options.config())

    def run(self, action: Action, work: Work) -> None:
        """Do `work` in another thread, if `action` can be done now."""
        try:
            self.controller.begin(action)
        except RefineFuseError as error:
            notify(error)
            return
        self.job.start(work)

    def take(self, outcome: Outcome) -> None:
        """Take over an alignment that was found beside the work, by hand."""
        if self.controller.adjust(outcome):
            results.drop_views(self.viewer.layers, but_seen=results.FOLLOWING)
            # What there is to say of it stands below its verdict, as long as it holds.
            self._show_alignment(replace(outcome, warnings=()))

    def close(self) -> None:
        """Stop all work: nobody is there for its results."""
        self.job.cancel()
        self._measuring.cancel()

    def tell(self, error: Exception) -> None:
        """Notify of an error, and keep its details for a bug report."""
        self.details = "".join(traceback.format_exception(error))
        notify(error)

    def show(self, outcome: Outcome, *, asked: bool = False) -> Image | None:
        """Show the layer of an outcome; bring it forward where it is new, or was asked for."""
        for warning in outcome.warnings:
            show_warning(warning)
        if outcome.layer is None:
            return None
        if results.is_orphan(self.viewer.layers, outcome.layer):
            show_warning(texts.ORPHAN)
            return None
        known = set(self.viewer.layers)
        layer = results.show_result(self.viewer.layers, outcome.layer)
        if layer not in known or (asked and not layer.visible):
            self.bring_forward(layer)
        return layer

    def bring_forward(self, layer: Image) -> None:
        """Show a result of the pair over its anatomy, and nothing that hides it."""
        results.bring_forward(self.viewer, layer, self.anatomical, self.functional)

    def open(self, paths: list[str]) -> None:
        """Open files and folders as layers."""
        if paths:
            plain = read_settings().plain_names
            self.run(Action.OPEN, lambda monitor: open_scans(paths, plain, monitor))

    def shots(self) -> tuple[LayerSnapshot | None, LayerSnapshot | None]:
        """The two layers as they stand now."""
        shots = (self.anatomical, self.functional)
        first, second = (None if layer is None else snapshot(layer) for layer in shots)
        return first, second

    def _show_alignment(self, outcome: Outcome) -> None:
        """Show a new alignment; a view that follows it stays in front."""
        layer = self.show(outcome)
        if layer is not None and not any(
            results.is_following(x) for x in self.viewer.layers if x.visible
        ):
            self.bring_forward(layer)

    def _end(self, ended: Outcome | Exception) -> None:
        if isinstance(ended, Outcome):
            # napari takes up to a fifth of a second for each.
            added = (partial(self._add, opened) for opened in ended.opened)
            self._turns.take(*added, partial(self._finish, ended))
        else:
            self.controller.fail(ended)
            self.tell(ended)

    def _add(self, opened: LayerData) -> None:
        data, attributes, kind = opened
        self.viewer.layers.append(Layer.create(data, attributes, kind))

    def _finish(self, ended: Outcome) -> None:
        before = self.controller.alignment
        self.controller.finish(ended)
        self.controller.forget_all_but({str(layer.unique_id) for layer in self.viewer.layers})
        if ended.fusion is not None:
            results.drop_views(self.viewer.layers, results.OF_FUSION)
        if ended.alignment is not None and ended.alignment is not before:
            results.drop_views(self.viewer.layers, but_seen=results.FOLLOWING)
        if ended.alignment is not None and ended.fusion is None:
            self._show_alignment(ended)
        else:
            self.show(ended, asked=True)

    def _measured(self, ended: Machine | Exception) -> None:
        # What is wrong with the weights is told when a fusion is asked for.
        if isinstance(ended, Machine):
            self.machine = ended
            self.changed.emit()
