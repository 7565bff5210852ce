"""The fusion of an alignment, what is shown of it, and its export."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari import _texts as texts
from refinefuse_napari._bridge import on_grid_of, to_volume
from refinefuse_napari._outcome import (
    Alignment,
    Fusion,
    Outcome,
    Request,
    Scale,
    provenance,
    said_of,
)
from refinefuse_napari._place import judge

if TYPE_CHECKING:
    from refinefuse_med.config import OutputConfig
    from refinefuse_med.network import RefineFuse

__all__ = ["Models", "contribution", "export", "fuse"]


class Models:
    """The network that was loaded last."""

    def __init__(self) -> None:
        self._loaded: tuple[Path | None, RefineFuse] | None = None

    def get(self, path: Path | None) -> RefineFuse:
        """The network of a weights file, loaded once."""
        from refinefuse_med.network import RefineFuse

        if self._loaded is None or self._loaded[0] != path:
            self._loaded = (path, RefineFuse.from_pretrained(path))
        return self._loaded[1]


def fuse(
    request: Request,
    known: Alignment | None,
    models: Models,
    monitor: Monitor = SILENT,
) -> Outcome:
    """Fuse; register before, unless it is known how the scans lie."""
    from refinefuse_med.pipeline import RegisteredPair, fuse_pair

    model = models.get(request.config.engine.model)
    if known is not None and not known.judged:
        known = judge(known, monitor).alignment
    moving = known.moving if known else to_volume(request.functional, monitor)
    result = fuse_pair(
        known.pair.fixed if known else to_volume(request.anatomical, monitor),
        moving,
        request.config,
        monitor,
        model=model,
        known=known.pair if known else None,
    )
    alignment = known or Alignment(
        request,
        moving,
        RegisteredPair(
            result.anatomical,
            result.functional_registered,
            result.field_of_view,
            result.registration,
            result.record,
        ),
    )
    grey: dict[str, Any] = {} if result.fused.shape[0] == 3 else {"contrast_limits": (0, 1)}
    layer = on_grid_of(
        request.anatomical,
        result.fused,
        name=f"{request.name}: fused",
        metadata=provenance("fused", request, result.record),
        **grey,
    )
    fusion = result.record["fusion"]
    window = fusion["windows"]["functional"]
    said = said_of(result.record)
    told = known.pair.record["warnings"] if known else ()
    fresh = tuple(warning for warning in said["warnings"] if warning not in told)
    return Outcome(
        **{**said, "summary": texts.FUSED, "warnings": fresh},
        layer=layer,
        alignment=alignment,
        fusion=Fusion(alignment, result),
        scale=Scale.of(
            fusion["colormap"], (window["low"], window["high"]), window["units"] or "a.u."
        ),
    )


def contribution(fusion: Fusion, monitor: Monitor = SILENT) -> Outcome:
    """Show what of each fused grey value comes from which scan: blue and orange."""
    monitor.update("contribution", 0.0)
    request, result = fusion.alignment.request, fusion.result
    layer = on_grid_of(
        request.anatomical,
        result.contribution_rgb,
        name=f"{request.name}: contribution",
        metadata=provenance("contribution", request, result.record),
    )
    shares = result.record["metrics"]["contribution"]
    said = ", ".join(f"{100 * share:.0f} % {role}" for role, share in shares.items())
    return Outcome(f"contribution: {said} (blue anatomical, orange functional)", layer=layer)


def export(fusion: Fusion, out: Path, config: OutputConfig, monitor: Monitor = SILENT) -> Outcome:
    """Write a fusion as the folder `out`; the fusion itself stays as it is."""
    from refinefuse_med.output import save_result

    # What is written is noted in the record, and de-identified there: not in that of the layers.
    result = replace(fusion.result, record=deepcopy(fusion.result.record))
    return Outcome(f"written to {save_result(result, out, config, monitor)}")
