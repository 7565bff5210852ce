"""Alignments that are searched for, and how any alignment is shown and said."""

from __future__ import annotations

from typing import Any, Final

from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari import _texts as texts
from refinefuse_napari._bridge import on_grid_of, to_volume
from refinefuse_napari._display import palette_colormap
from refinefuse_napari._outcome import Alignment, Outcome, Request, Scale, provenance, said_of

__all__ = ["GEOMETRY_OF", "align", "outcome_of", "verdict_in_words"]

GEOMETRY_OF: Final = "refinefuse_geometry_of"
"""Metadata key of a registered layer: the source header of the scan that it was brought onto."""


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


def verdict_in_words(registration: dict[str, Any]) -> str:
    """The verdict of a registration with its numbers, in one line."""
    quality = registration["quality"]
    if not quality:
        return texts.NOT_JUDGED
    numbers = []
    if "spread_mm" in quality:
        numbers.append(f"estimated error {quality['spread_mm']:.1f} mm")
    numbers.append(
        f"moved {quality['translation_mm']:.1f} mm, turned {quality['rotation_degrees']:.1f}°"
    )
    numbers.append(f"overlap {100 * quality['overlap']:.0f} %")
    numbers.append(f"mutual information {quality['mutual_information']:.2f}")
    return f"{registration['verdict']} ({registration['method']}): {', '.join(numbers)}"
