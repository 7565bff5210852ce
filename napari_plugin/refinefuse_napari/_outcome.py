"""What the panel asks of the other thread, and what that gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med.config import FusionConfig
from refinefuse_napari import _texts as texts
from refinefuse_napari._results import RESULT
from refinefuse_napari._snapshot import LayerSnapshot

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.pipeline import FusionResult, RegisteredPair
    from refinefuse_napari._bridge import LayerData

__all__ = [
    "RECORD",
    "Alignment",
    "Fusion",
    "Outcome",
    "Request",
    "Scale",
    "provenance",
    "said_of",
]

RECORD: Final = "refinefuse_record"
"""Metadata key of a result layer: the record that says how it was made."""

_TOLD: Final = ("anatomical:", "functional:", "fixed:", "moving:")
"""What a record warns of a scan was told when that was opened."""


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
