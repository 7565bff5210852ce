"""The image planes that DICOM files hold: classic, enhanced multi-frame and NM objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io.concatenation import concatenated
from refinefuse_med.io.elements import image_type, integer, items, numbers, text
from refinefuse_med.io.geometry import Frame
from refinefuse_med.io.real_world import is_map
from refinefuse_med.io.traits import index_traits, traits_of

__all__ = ["Frames", "frames_of"]

MAX_FRAMES: Final = 100_000
"""Most frames of one file; a damaged header may claim billions."""

MAX_POSITION_MM: Final = 1e6
"""Farthest from the origin that a scanner puts a patient, by far."""

_AXIAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_RECONSTRUCTED: Final = ("RECON TOMO", "RECON GATED TOMO")


@dataclass(frozen=True)
class Frames:
    """Every image plane of a stack, and what had to be assumed.

    ``traits`` finds those of a frame, by its number; few stacks need them.
    """

    frames: tuple[Frame, ...]
    traits: Callable[[int], dict[str, object]]
    warnings: tuple[str, ...] = ()

    def with_traits(self) -> tuple[Frame, ...]:
        """The frames, each with what may tell it from another at its place."""
        return tuple(replace(f, traits=self.traits(n)) for n, f in enumerate(self.frames))


def frames_of(headers: Sequence[Dataset]) -> Frames:
    """List the image planes of the files of one stack.

    Raises
    ------
    InputError
        The frames of a multi-frame object are not planes of one volume.
    GeometryError
        A position, orientation or voxel size is missing or not possible.
    """
    first = headers[0]
    count = frame_count(first)
    if count > MAX_FRAMES:
        raise InputError(f"{count} frames in one file, more than {MAX_FRAMES}")
    if "PerFrameFunctionalGroupsSequence" in first:
        order, warnings = concatenated(headers)
        groups = [
            (headers[number], own)
            for number in order
            for own in items(headers[number], "PerFrameFunctionalGroupsSequence")
        ]
        return Frames(
            tuple(frame for number in order for frame in _enhanced(headers[number], number)),
            lambda n: {**traits_of(groups[n][1]), **index_traits(*groups[n])},
            warnings,
        )
    if is_nuclear(first):
        _refuse_planar(first)
        if count > 1 or (len(headers) == 1 and "ImagePositionPatient" not in first):
            return _nuclear(first)
        frames = tuple(_single_nuclear(header, i) for i, header in enumerate(headers))
        return Frames(frames, lambda n: traits_of(headers[n], depth=1))
    if count > 1:
        raise InputError("a multi-frame object without positions of its frames")
    frames = tuple(_classic(header, i) for i, header in enumerate(headers))
    return Frames(frames, lambda n: traits_of(headers[n], depth=1))


def frame_count(header: Dataset) -> int:
    """NumberOfFrames; 1 where absent."""
    return max(1, integer(header, "NumberOfFrames", 1))


def _classic(header: Dataset, file: int) -> Frame:
    return _frame(
        file,
        0,
        position=numbers(header, "ImagePositionPatient"),
        orientation=numbers(header, "ImageOrientationPatient"),
        measures=header,
        rescale=header,
    )


def _single_nuclear(header: Dataset, file: int) -> Frame:
    """One slice of a reconstruction that is stored as a file a slice."""
    detector = _first(header, "DetectorInformationSequence")
    place, axes = "ImagePositionPatient", "ImageOrientationPatient"
    return _frame(
        file,
        0,
        position=numbers(detector, place) or numbers(header, place),
        orientation=numbers(detector, axes) or numbers(header, axes),
        measures=header,
        rescale=header,
    )


def _enhanced(header: Dataset, file: int) -> tuple[Frame, ...]:
    """Planes of an enhanced object: PS3.3 section C.7.6.16, per frame or shared."""
    shared = _first(header, "SharedFunctionalGroupsSequence")
    own = items(header, "PerFrameFunctionalGroupsSequence")
    if len(own) != frame_count(header):
        raise InputError(f"{frame_count(header)} frames, but the geometry of {len(own)}")

    # What other objects map to real world values are values that they have in other units.
    values = (
        "RealWorldValueMappingSequence" if is_map(header) else "PixelValueTransformationSequence"
    )

    def macro(groups: Dataset, name: str) -> Dataset:
        return _first(groups, name) or _first(shared, name)

    return tuple(
        _frame(
            file,
            index,
            position=numbers(macro(groups, "PlanePositionSequence"), "ImagePositionPatient"),
            orientation=numbers(
                macro(groups, "PlaneOrientationSequence"), "ImageOrientationPatient"
            ),
            measures=macro(groups, "PixelMeasuresSequence"),
            rescale=macro(groups, values) or header,
        )
        for index, groups in enumerate(own)
    )


def is_nuclear(header: Dataset) -> bool:
    """Whether this is an NM object, whose geometry has rules of its own."""
    return text(header, "SOPClassUID") == NuclearMedicineImageStorage


def _refuse_planar(header: Dataset) -> None:
    kind = (*image_type(header), "", "", "")[2]
    if kind not in _RECONSTRUCTED:
        raise InputError(f"NM of type {kind or 'unknown'}: planar or not reconstructed, no volume")


def _nuclear(header: Dataset) -> Frames:
    """Planes of a reconstructed NM object: PS3.3 sections C.8.4.9, C.8.4.11 and C.8.4.15.

    Slices lie along the normal of the first; a negative SpacingBetweenSlices stacks them
    against it. Time slots and energy windows have frames of their own.
    """
    count = frame_count(header)
    slices, traits = _nuclear_vectors(header, count)
    warnings: list[str] = []
    detector = _first(header, "DetectorInformationSequence")
    spacing = (numbers(header, "SpacingBetweenSlices") or (0.0,))[0]
    if not spacing:
        spacing = (numbers(header, "SliceThickness") or (0.0,))[0]
        if spacing <= 0:
            raise GeometryError("no SpacingBetweenSlices")
        warnings.append("no SpacingBetweenSlices: the slice thickness and the direction assumed")
    orientation = numbers(detector, "ImageOrientationPatient")
    if len(orientation) != 6:
        orientation = numbers(header, "ImageOrientationPatient")
    if len(orientation) != 6:
        orientation = _AXIAL
        warnings.append("no ImageOrientationPatient: axial slices of a supine patient assumed")
    rows, columns = (np.asarray(axis) for axis in (orientation[:3], orientation[3:]))
    step = np.cross(rows, columns) * spacing
    origin = numbers(detector, "ImagePositionPatient")
    if len(origin) != 3:
        origin = numbers(header, "ImagePositionPatient")
    if len(origin) != 3:
        across = _in_plane(header)
        extent = (
            rows * across[0] * (integer(header, "Columns") - 1)
            + columns * across[1] * (integer(header, "Rows") - 1)
            + step * max(slices)
        )
        origin = tuple(-extent / 2)
        warnings.append("no ImagePositionPatient: the volume is centred on the origin")
    frames = tuple(
        _frame(
            0,
            index,
            position=tuple(np.asarray(origin) + slices[index] * step),
            orientation=orientation,
            measures=header,
            rescale=header,
        )
        for index in range(count)
    )
    return Frames(frames, lambda n: traits[n], tuple(warnings))


def _nuclear_vectors(header: Dataset, count: int) -> tuple[list[int], Sequence[dict[str, object]]]:
    """Which slice each frame shows, from 0, and which window and time (C.8.4.8, C.8.4.15)."""
    total = integer(header, "NumberOfSlices", count)
    gated = "GATED" in (*image_type(header), "", "", "")[2]
    slices = [int(number) - 1 for number in numbers(header, "SliceVector")]
    if not slices and total == count and not gated:
        return list(range(count)), [{}] * count
    if len(slices) != count or min(slices) < 0:
        kind = image_type(header)[2]
        raise InputError(
            f"NM of type {kind}: {count} images at {total} positions, and no SliceVector that "
            "tells which is which"
        )
    traits: list[dict[str, object]] = [{} for _ in range(count)]
    for name in ("EnergyWindow", "RRInterval", "TimeSlot"):
        vector = numbers(header, f"{name}Vector")
        for found, value in zip(traits, vector if len(vector) == count else (), strict=False):
            found[name] = int(value)
    return slices, traits


def _frame(
    file: int,
    index: int,
    *,
    position: tuple[float, ...],
    orientation: tuple[float, ...],
    measures: Dataset,
    rescale: Dataset,
) -> Frame:
    thickness = numbers(measures, "SpacingBetweenSlices") or numbers(measures, "SliceThickness")
    slope = numbers(rescale, "RescaleSlope") or numbers(rescale, "RealWorldValueSlope")
    intercept = numbers(rescale, "RescaleIntercept") or numbers(rescale, "RealWorldValueIntercept")
    return Frame(
        file=file,
        index=index,
        position_lps=_vector(position, 3, "ImagePositionPatient"),
        orientation=_vector(orientation, 6, "ImageOrientationPatient"),
        spacing_mm=_in_plane(measures),
        thickness_mm=abs(thickness[0]) if thickness else None,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
    )


def _first(header: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence; an empty one where there is none."""
    found = items(header, keyword)
    return found[0] if found else Dataset()


def _vector(values: tuple[float, ...], length: int, name: str) -> NDArray[np.float64]:
    if len(values) != length:
        raise GeometryError(f"no {name}")
    vector = np.asarray(values, dtype=np.float64)
    if not (np.abs(vector) <= MAX_POSITION_MM).all():  # not a number is not either
        raise GeometryError(f"{name} is not possible")
    return vector


def _in_plane(measures: Dataset) -> tuple[float, float]:
    """Voxel size along I and J; PixelSpacing names the distance between rows first."""
    spacing = numbers(measures, "PixelSpacing")
    if len(spacing) != 2:
        raise GeometryError("no PixelSpacing")
    if not (min(spacing) > 0 and np.isfinite(spacing).all()):
        raise GeometryError(f"PixelSpacing of {spacing[0]:g} x {spacing[1]:g} mm is not possible")
    return spacing[1], spacing[0]
