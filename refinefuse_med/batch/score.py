"""How good a series is to fuse, in points that can be read and argued with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from refinefuse_med.io import SeriesEntry

__all__ = ["Score", "affinity_of", "score_of"]

ATTENUATION_CORRECTED: Final = 32.0
THREE_D: Final = 16.0
ORIGINAL: Final = 8.0
PRIMARY: Final = 2.0
COVERAGE: Final = 8.0
FINENESS: Final = 4.0
T1: Final = 1.0

FULL_COVERAGE_MM: Final = 160.0
"""Shortest side of a scan that covers a whole head; more earns nothing more."""
ISOTROPIC_RATIO: Final = 2.0
"""Largest to smallest voxel side up to which a scan counts as 3D where no tag says so."""

SAME_FRAME: Final = 16.0
SAME_STUDY: Final = 8.0
SAME_BODY_PART: Final = 4.0
PER_MONTH_APART: Final = -1.0
DATE_UNKNOWN: Final = -6.0


@dataclass(frozen=True)
class Score:
    """Points by what earned them."""

    points: tuple[tuple[str, float], ...]

    @property
    def total(self) -> float:
        """All points together."""
        return round(sum(value for _, value in self.points), 2)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:+.3g}" for name, value in self.points if value)
        return f"{self.total:g} ({parts})" if parts else f"{self.total:g}"


def score_of(entry: SeriesEntry) -> Score:
    """How good a series is for its role, whatever it is paired with.

    Attenuation-corrected over not (PET), 3D over 2D, original over derived, whole coverage
    over a slab, fine spacing over coarse.
    """
    points: list[tuple[str, float]] = []
    kind, spacing = entry.identity.image_type, entry.spacing_mm or ()
    if entry.modality == "PT" and "ATTN" in entry.identity.corrections:
        points.append(("attenuation corrected", ATTENUATION_CORRECTED))
    if _is_3d(entry):
        points.append(("3D", THREE_D))
    if "DERIVED" not in kind or entry.modality == "NM":  # a tomogram is always derived
        points.append(("original", ORIGINAL))
    if "SECONDARY" not in kind:
        points.append(("primary", PRIMARY))
    if spacing:
        sides = [size * count for size, count in zip(spacing, entry.shape, strict=False)]
        points.append(("coverage", round(COVERAGE * min(1.0, min(sides) / FULL_COVERAGE_MM), 2)))
        points.append(("fineness", round(FINENESS / max(1.0, *spacing), 2)))
    if "T1w" in entry.path or entry.description.upper().startswith("T1"):
        points.append(("T1", T1))
    return Score(tuple(points))


def _is_3d(entry: SeriesEntry) -> bool:
    if entry.identity.acquisition:
        return entry.identity.acquisition == "3D"
    spacing = entry.spacing_mm or (1.0, ISOTROPIC_RATIO + 1)
    return max(spacing) <= ISOTROPIC_RATIO * min(spacing)


def affinity_of(
    one: SeriesEntry, other: SeriesEntry, *, same_study: bool, days_apart: int | None
) -> Score:
    """How well two series of a person go together."""
    frames = {one.frame_of_reference_uid, other.frame_of_reference_uid}
    parts = {one.identity.body_part, other.identity.body_part}
    points: list[tuple[str, float]] = []
    if len(frames) == 1 and None not in frames:
        points.append(("one frame of reference", SAME_FRAME))
    if same_study:
        points.append(("one study", SAME_STUDY))
    if len(parts) == 1 and "" not in parts:
        points.append(("one body part", SAME_BODY_PART))
    if days_apart:
        points.append((f"{days_apart} days apart", round(PER_MONTH_APART * days_apart / 30, 2)))
    if days_apart is None and not same_study:
        points.append(("days apart unknown", DATE_UNKNOWN))
    return Score(tuple(points))
