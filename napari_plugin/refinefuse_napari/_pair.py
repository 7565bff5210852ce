"""Two scans and whether they make sense together, told from their layers without reading voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from refinefuse_med.config import RegistrationConfig
from refinefuse_napari import _texts as texts

if TYPE_CHECKING:
    from refinefuse_napari._snapshot import LayerSnapshot

__all__ = ["Facts", "Word", "facts_of", "judge"]

_UPTAKE: Final = frozenset({"PT", "NM"})
_TILT_SAID_DEGREES: Final = 1.0
_NAMES: Final = {"PT": "PET", "NM": "SPECT"}
_DEFAULT: Final = RegistrationConfig()


@dataclass(frozen=True)
class Facts:
    """What a user wants to know of a scan.

    Attributes
    ----------
    name, modality, units : str
    shape : (int, int, int)
        Voxels along I, J, K.
    spacing_mm : (float, float, float)
    frame, patient : str or None
        Frame of reference UID and patient ID, where they are known.
    tilt_degrees : float
        Of the voxel axes against the patient's.
    voxels : int
    """

    name: str
    modality: str
    units: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    frame: str | None
    patient: str | None
    tilt_degrees: float

    @property
    def kind(self) -> str:
        """The modality as people say it."""
        return _NAMES.get(self.modality, self.modality)

    @property
    def voxels(self) -> int:
        """Their number."""
        i, j, k = self.shape
        return i * j * k

    def line(self) -> str:
        """All of it in one line."""
        kind = "modality not known" if self.modality == "OT" else self.kind
        shape = " × ".join(map(str, self.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in self.spacing_mm)
        frame = f"frame …{self.frame[-6:]}" if self.frame else "frame not known"
        return f"{kind}, {shape} of {spacing} mm, {self.units}, {frame}"


@dataclass(frozen=True)
class Word:
    """Something to say of a pair; `stops` where it cannot be worked with."""

    text: str
    stops: bool = False


def facts_of(shot: LayerSnapshot) -> Facts:
    """Read the facts of a scan off its layer."""
    linear = shot.world_from_data[:3, :3]
    spacing = np.linalg.norm(linear, axis=0)
    # Of the axes that the volume has, not of those that the layer shows.
    order = shot.axes[:, 0].astype(int).tolist()
    shape = tuple(int(shot.data.shape[axis]) for axis in order)
    directions = np.abs(linear / spacing)
    tilt = float(np.degrees(np.arccos(np.clip(directions.max(axis=0).min(), -1, 1))))
    datasets = getattr(shot.info.get("source"), "datasets", ())
    patient = str(datasets[0].get("PatientID", "")).strip() if datasets else ""
    return Facts(
        name=shot.name,
        modality=str(shot.info.get("modality", "OT")),
        units=str(shot.info.get("units", "a.u.")),
        shape=shape,  # type: ignore[arg-type]
        spacing_mm=tuple(float(spacing[axis]) for axis in order),  # type: ignore[arg-type]
        frame=shot.info.get("frame_of_reference_uid"),
        patient=patient or None,
        tilt_degrees=tilt,
    )


def judge(
    anatomical: LayerSnapshot | None,
    functional: LayerSnapshot | None,
    config: RegistrationConfig = _DEFAULT,
) -> tuple[Word, ...]:
    """What there is to say of a pair to be aligned so, that which stops the work first.

    Where it is forced, two patients are a remark only.
    """
    if anatomical is None or functional is None:
        return (Word(texts.DROP_HERE, stops=True),)
    if anatomical.layer_id == functional.layer_id:
        return (Word(texts.ONE_LAYER, stops=True),)
    shots = (anatomical, functional)
    first, second = facts = tuple(facts_of(shot) for shot in shots)
    words = [Word(texts.ONE_SLICE.format(f.name), True) for f in facts if min(f.shape) < 2]
    words += [
        Word(texts.NO_SPACING.format(shot.name), True) for shot in shots if shot.needs_spacing
    ]
    if first.patient and second.patient and first.patient != second.patient:
        words.append(Word(texts.TWO_PATIENTS, not config.force))
    words.sort(key=lambda word: not word.stops)
    if first.modality in _UPTAKE:
        words.append(Word(texts.SWAPPED.format(first.kind)))
    elif first.modality == second.modality != "OT":
        words.append(Word(texts.SAME_KIND.format(first.kind)))
    words.append(Word(_frames(first, second, config.method)))
    words += [
        Word(texts.NO_UNITS.format(s.name)) for s in shots if s.assumed and not s.needs_spacing
    ]
    tilted = [
        f"{f.kind} {f.tilt_degrees:.0f}°" for f in facts if f.tilt_degrees >= _TILT_SAID_DEGREES
    ]
    if tilted:
        words.append(Word(texts.OBLIQUE.format(", ".join(tilted))))
    return tuple(words)


def _frames(first: Facts, second: Facts, method: str) -> str:
    if not first.frame or not second.frame:
        as_is = method in ("none", "header")
        return texts.UNKNOWN_FRAMES_AS_IS.format(method) if as_is else texts.UNKNOWN_FRAMES
    if first.frame == second.frame:
        return texts.ONE_FRAME
    two = {"none": texts.TWO_FRAMES_AS_IS, "header": texts.TWO_FRAMES_BY_HEADER}
    return two.get(method, texts.TWO_FRAMES)
