"""The live preview: the slice that is shown, fused, and again when anything changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from refinefuse_med.errors import CancelledError, RefineFuseError
from refinefuse_napari import _texts as texts
from refinefuse_napari._controller import Action
from refinefuse_napari._cursor import shown_index, view_of
from refinefuse_napari._outcome import Outcome
from refinefuse_napari._preview import Previewer, plane_across
from refinefuse_napari._results import drop_views
from refinefuse_napari._widgets import ActionButton
from refinefuse_napari._worker import Latest

if TYPE_CHECKING:
    from refinefuse_napari._session import Session

__all__ = ["LivePreview"]


class LivePreview(ActionButton):
    """A button that stays down while slices are fused.

    Parameters
    ----------
    session : Session
    plane : callable
        Gives the plane that the volume will be fused in.
    """

    def __init__(self, session: Session, plane: Callable[[], str]) -> None:
        super().__init__("Live preview", self._toggle, "preview", checkable=True)
        self._session = session
        self._plane = plane
        self._asked: tuple[object, ...] | None = None
        self._previewer = Previewer(session.models)
        self._latest = Latest(parent=self)
        self._latest.came.connect(self._show)
        session.viewer.dims.events.connect(self._view_moved)

    @property
    def is_busy(self) -> bool:
        """Whether a slice is being fused."""
        return self._latest.busy

    def refresh(self) -> None:
        """Say whether there can be a preview, and renew the one there is."""
        self.allow(self._why_not())
        self._ask()

    def drop(self) -> None:
        """Forget what was asked for."""
        self._latest.drop()

    def _toggle(self) -> None:
        if self.button.isChecked():
            self._asked = None
            self._ask()
            return
        self._latest.drop()
        drop_views(self._session.viewer.layers, {"preview"})

    def _why_not(self) -> str | None:
        controller, session = self._session.controller, self._session
        alignment = controller.alignment
        if alignment is None:
            return controller.why_not(Action.PREVIEW)
        axis = view_of(session.viewer.dims).normal
        if axis is None:
            return texts.VIEW_IN_2D
        wanted = self._plane()
        if wanted not in ("triplanar", plane_across(alignment, axis)):
            return texts.TURN_VIEW.format(wanted)
        return None

    def _view_moved(self, event: object = None) -> None:
        if self.button.isChecked():
            self.refresh()

    def _ask(self) -> None:
        controller, session = self._session.controller, self._session
        alignment = controller.alignment
        busy = controller.why_not(Action.PREVIEW)
        if not self.button.isChecked() or busy or self._why_not():
            return
        view, layer = view_of(session.viewer.dims), session.anatomical
        axis = view.normal
        if axis is None or layer is None or alignment is None:
            return
        index = round(float(shown_index(layer, view)[axis]))
        if not 0 <= index < layer.data.shape[axis]:
            return
        try:
            config = session.options.config()
        except RefineFuseError:
            return
        asked = (id(alignment), config.model_dump_json(), axis, index)
        if asked != self._asked:
            self._asked = asked
            self._latest.ask(
                lambda monitor: self._previewer.fuse_slice(alignment, config, axis, index, monitor)
            )

    def _show(self, ended: object) -> None:
        if isinstance(ended, Outcome) and ended.layer is not None:
            if self.button.isChecked():
                self._session.show(ended)
        elif isinstance(ended, Exception) and not isinstance(ended, CancelledError):
            self.button.setChecked(False)
            self._session.tell(ended)
