"""What the panel does, without Qt: a state, and the work that is done in another thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse_med.config import FusionConfig, OutputFormat
from refinefuse_med.errors import CancelledError, RefineFuseError, UsageError
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari._bridge import LayerSnapshot, on_grid_of, palette_colormap, to_volume
from refinefuse_napari._results import RESULT

if TYPE_CHECKING:
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.pipeline import FusionResult
    from refinefuse_med.registration import RegistrationResult
    from refinefuse_napari._bridge import LayerData

__all__ = ["Controller", "Outcome", "Request", "State", "device_in_words"]

RECORD = "refinefuse_record"
"""Metadata key of a result layer: the record that says how it was made."""


class State(StrEnum):
    """Where the panel stands."""

    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, eq=False)
class Request:
    """Two layers, and what to do to them."""

    anatomical: LayerSnapshot
    functional: LayerSnapshot
    config: FusionConfig


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a piece of work leaves behind."""

    summary: str
    """One line for the user."""
    verdict: str | None = None
    """Of the registration: ok, suspect or failed."""
    layer: LayerData | None = None
    """A layer to show."""
    warnings: tuple[str, ...] = field(default=())


class Controller:
    """State and work of one panel.

    `begin`, `finish` and `fail` are for the main thread; `register`, `fuse` and `export` do
    the work, in whatever thread, one at a time, and touch no layer.

    Parameters
    ----------
    on_change : callable, optional
        Called as ``on_change(state)`` after each change of state.
    """

    def __init__(self, on_change: Callable[[State], None] | None = None) -> None:
        self.state = State.IDLE
        self.outcome: Outcome | None = None
        self.result: FusionResult | None = None
        self._on_change = on_change
        self._model: tuple[Path | None, RefineFuse] | None = None
        self._registered: tuple[Request, RegistrationResult] | None = None
        self._fused: Request | None = None

    def begin(self) -> None:
        """Go to work; an error while there is some already."""
        if self.state is State.RUNNING:
            raise UsageError("there is work running already", hint="wait for it, or cancel it")
        self._go(State.RUNNING)

    def finish(self, outcome: Outcome) -> None:
        """The work is done."""
        self.outcome = outcome
        self._go(State.DONE)

    def fail(self, error: Exception) -> None:
        """The work has ended in an error, or was stopped on request."""
        stopped = isinstance(error, CancelledError)
        said = isinstance(error, RefineFuseError)
        summary = str(error) if said else f"unexpected error: {type(error).__name__}: {error}"
        self.outcome = Outcome("stopped" if stopped else summary)
        self._go(State.CANCELLED if stopped else State.FAILED)

    def register(self, request: Request, monitor: Monitor = SILENT) -> Outcome:
        """Bring the functional volume onto the anatomical grid."""
        from refinefuse_med.colour import auto_window, resolve_colormap
        from refinefuse_med.pipeline import register_pair
        from refinefuse_med.volume import modality_of

        pair = register_pair(
            to_volume(request.anatomical),
            to_volume(request.functional),
            request.config.registration,
            monitor,
        )
        self._registered = (request, pair.registration)
        colormap = resolve_colormap(request.config.colour.colormap, modality_of(pair.registered))
        layer = on_grid_of(
            request.anatomical,
            pair.registered,
            name=f"{request.functional.name} registered",
            metadata=_provenance("registered", request, pair.record),
            colormap=palette_colormap(colormap),
            contrast_limits=auto_window(pair.registered, pair.field_of_view, role="functional"),
            blending="additive",
            opacity=0.6,
        )
        return _outcome(pair.record, layer)

    def fuse(self, request: Request, monitor: Monitor = SILENT) -> Outcome:
        """Register, unless that is done already, and fuse."""
        from refinefuse_med.pipeline import fuse_pair

        result = fuse_pair(
            to_volume(request.anatomical),
            to_volume(request.functional),
            request.config,
            monitor,
            model=self._loaded(request.config.engine.model),
            known=self._known(request),
        )
        self._registered = (request, result.registration)
        self.result = result
        self._fused = request
        grey = {} if result.fused.shape[0] == 3 else {"contrast_limits": (0, 1)}
        layer = on_grid_of(
            request.anatomical,
            result.fused,
            name=_name_of_fused(request),
            metadata=_provenance("fused", request, result.record),
            **grey,
        )
        return _outcome(result.record, layer)

    def contribution(self, monitor: Monitor = SILENT) -> Outcome:
        """Show what of the last fusion comes from which scan: blue anatomy, orange function."""
        if self.result is None or self._fused is None:
            raise UsageError("there is no fused volume yet", hint="press Fuse first")
        monitor.update("contribution", 0.0)
        layer = on_grid_of(
            self._fused.anatomical,
            self.result.contribution_rgb,
            name=f"{_name_of_fused(self._fused)}: contribution",
            metadata=_provenance("contribution", self._fused, self.result.record),
        )
        shares = self.result.record["metrics"]["contribution"]
        said = ", ".join(f"{100 * share:.0f} % {role}" for role, share in shares.items())
        return Outcome(f"contribution: {said} (blue anatomical, orange functional)", layer=layer)

    def export(
        self, out: Path, formats: tuple[OutputFormat, ...], monitor: Monitor = SILENT
    ) -> Outcome:
        """Write the last fusion as the folder `out`."""
        if self.result is None:
            raise UsageError("there is no fused volume yet", hint="press Fuse first")
        monitor.update("writing", 0.0)
        written = self.result.save(out, formats, preview=True)
        return Outcome(f"written to {written}")

    def _loaded(self, path: Path | None) -> RefineFuse:
        from refinefuse_med.network import RefineFuse

        if self._model is None or self._model[0] != path:
            self._model = (path, RefineFuse.from_pretrained(path))
        return self._model[1]

    def _known(self, request: Request) -> RegistrationResult | None:
        """The registration of the same two layers, where they stand as they stood."""
        if self._registered is None:
            return None
        before, registration = self._registered
        forced = before.config.registration.model_copy(
            update={"force": request.config.registration.force}
        )
        same = (
            forced == request.config.registration
            and before.anatomical.same_as(request.anatomical)
            and before.functional.same_as(request.functional)
        )
        return registration if same else None

    def _go(self, state: State) -> None:
        self.state = state
        if self._on_change is not None:
            self._on_change(state)


def _provenance(kind: str, request: Request, record: dict[str, Any]) -> dict[str, Any]:
    identity = (kind, request.anatomical.layer_id, request.functional.layer_id)
    return {RESULT: identity, RECORD: record}


def _name_of_fused(request: Request) -> str:
    return f"{request.anatomical.name} + {request.functional.name}"


def _outcome(record: dict[str, Any], layer: LayerData) -> Outcome:
    registration = record["registration"]
    verdict, spread = registration["verdict"], registration["quality"].get("spread_mm")
    error = "" if spread is None else f", estimated error {spread:.1f} mm"
    return Outcome(
        summary=f"registration {verdict} ({registration['method']}{error})",
        verdict=verdict,
        layer=layer,
        warnings=tuple(record["warnings"]),
    )


def device_in_words() -> str:
    """Where the network will run; says plainly when there is no GPU."""
    from refinefuse_med.engine import resolve_device

    device = resolve_device("auto")
    if device.type == "cpu":
        return "CPU: no GPU found, fusion takes longer"
    if device.type == "cuda":
        from torch.cuda import get_device_name

        return f"GPU: {get_device_name(device)}"
    return f"GPU: {device}"
