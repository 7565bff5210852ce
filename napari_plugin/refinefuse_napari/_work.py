"""The work of the panel: runs in another thread, touches no layer, gives back an `Outcome`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med.config import FusionConfig
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari import _texts as texts
from refinefuse_napari._bridge import LayerSnapshot, on_grid_of, palette_colormap, to_volume
from refinefuse_napari._results import RESULT

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.config import OutputConfig
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.pipeline import FusionResult, RegisteredPair
    from refinefuse_napari._bridge import LayerData

__all__ = [
    "GEOMETRY_OF",
    "RECORD",
    "Alignment",
    "Fusion",
    "Models",
    "Outcome",
    "Request",
    "Scale",
    "align",
    "contribution",
    "export",
    "fuse",
    "outcome_of",
    "provenance",
    "said_of",
    "verdict_in_words",
]

RECORD: Final = "refinefuse_record"
"""Metadata key of a result layer: the record that says how it was made."""


_TOLD: Final = ("anatomical:", "functional:", "fixed:", "moving:")
"""What a record warns of a scan was told when that was opened."""

GEOMETRY_OF: Final = "refinefuse_geometry_of"
"""Metadata key of a registered layer: the source header of the scan that it was brought onto."""


@dataclass(frozen=True, eq=False)
class Request:
    """Two layers, and what to do to them."""

    anatomical: LayerSnapshot
    functional: LayerSnapshot
    config: FusionConfig

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.anatomical.name} + {self.functional.name}"


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the functional scan of a request lies on the anatomical one.

    Attributes
    ----------
    request : Request
    moving : MetaTensor
        The functional scan, as it came.
    pair : RegisteredPair
        The anatomical scan, and the functional one on its grid.
    given : bool
        By hand, by landmarks or from a file: a fusion takes it as it is.
    base : Alignment or None
        That from which this one was nudged by hand.
    judged : bool
        Whether its verdict is known yet.
    """

    request: Request
    moving: MetaTensor
    pair: RegisteredPair
    given: bool = False
    base: Alignment | None = None
    judged: bool = True

    @property
    def is_deformed(self) -> bool:
        """Whether more than a matrix relates the scans."""
        return self.pair.registration.deformation is not None


@dataclass(frozen=True, eq=False)
class Fusion:
    """The fusion of an alignment."""

    alignment: Alignment
    result: FusionResult


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a piece of work leaves behind."""

    summary: str
    """One line for the user."""
    verdict: str | None = None
    """Of the registration: ok, suspect or failed."""
    layer: LayerData | None = None
    """A layer to show."""
    opened: tuple[LayerData, ...] = ()
    """Layers of scans that were read."""
    warnings: tuple[str, ...] = field(default=())
    alignment: Alignment | None = None
    fusion: Fusion | None = None
    scale: Scale | None = None


@dataclass(frozen=True)
class Scale:
    """Colours of the functional scan, and the values of the first and the last.

    Attributes
    ----------
    colormap : str
    colours : sequence of (float, float, float)
        In [0, 1].
    low, high : float
    units : str
    """

    colormap: str
    colours: tuple[tuple[float, float, float], ...]
    low: float
    high: float
    units: str

    @classmethod
    def of(cls, colormap: str, window: tuple[float, float], units: str) -> Scale:
        """A palette over a window."""
        from refinefuse_med.colour import palette

        colours = tuple((r, g, b) for r, g, b in palette(colormap).tolist())
        return cls(colormap, colours, *window, units)

    def in_words(self) -> str:
        """Palette, lowest and highest value."""
        name = "grey" if self.colormap == "none" else self.colormap.replace("_", " ")
        return f"{name}: {self.low:.3g} to {self.high:.3g} {self.units}"


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


def align(request: Request, monitor: Monitor = SILENT) -> Outcome:
    """Bring the functional scan onto the anatomical grid."""
    from refinefuse_med.pipeline import register_pair

    moving = to_volume(request.functional, monitor)
    pair = register_pair(
        to_volume(request.anatomical, monitor), moving, request.config.registration, monitor
    )
    return outcome_of(Alignment(request, moving, pair))


def outcome_of(alignment: Alignment) -> Outcome:
    """An alignment, with the functional scan on the anatomical grid in its palette as a layer."""
    from refinefuse_med.colour import auto_window, resolve_colormap
    from refinefuse_med.volume import Keys, get_meta, modality_of, source_of

    request, pair = alignment.request, alignment.pair
    window = request.config.colour.functional_window
    if window == "auto":
        window = auto_window(pair.registered, pair.field_of_view, role="functional")
    name = resolve_colormap(request.config.colour.colormap, modality_of(pair.registered))
    layer = on_grid_of(
        request.anatomical,
        pair.registered,
        name=f"{request.functional.name} registered",
        metadata={
            **provenance("registered", request, pair.record),
            GEOMETRY_OF: source_of(pair.fixed),
        },
        colormap=palette_colormap(name),
        contrast_limits=window,
        blending="additive",
        opacity=0.6,
    )
    units = get_meta(pair.registered, Keys.UNITS) or "a.u."
    return Outcome(
        **{**said_of(pair.record), **({} if alignment.judged else {"warnings": ()})},
        layer=layer,
        alignment=alignment,
        scale=Scale.of(name, window, units),
    )


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
        from refinefuse_napari._place import judge

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


def provenance(kind: str, request: Request, record: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a result layer: whose result it is, and how it was made."""
    identity = (kind, request.anatomical.layer_id, request.functional.layer_id)
    return {RESULT: identity, RECORD: record}


def said_of(record: dict[str, Any]) -> dict[str, Any]:
    """What an outcome says of a record: summary, verdict, warnings."""
    registration = record["registration"]
    return {
        "summary": texts.ALIGNED,
        "verdict": registration["verdict"],
        "warnings": tuple(w for w in record["warnings"] if not w.startswith(_TOLD)),
    }


def verdict_in_words(registration: dict[str, Any]) -> str:
    """The verdict of a registration with its numbers, in one line."""
    quality = registration["quality"]
    if not quality:
        return f"{texts.NOT_JUDGED}"
    numbers = []
    if "spread_mm" in quality:
        numbers.append(f"estimated error {quality['spread_mm']:.1f} mm")
    numbers.append(
        f"moved {quality['translation_mm']:.1f} mm, turned {quality['rotation_degrees']:.1f}°"
    )
    numbers.append(f"overlap {100 * quality['overlap']:.0f} %")
    numbers.append(f"mutual information {quality['mutual_information']:.2f}")
    return f"{registration['verdict']} ({registration['method']}): {', '.join(numbers)}"
