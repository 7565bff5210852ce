"""The image planes that DICOM files hold: classic, enhanced multi-frame and NM objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import NuclearMedicineImageStorage

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io.elements import image_type, integer, items, numbers, text
from refinefuse_med.io.geometry import Frame

__all__ = ["Frames", "frames_of"]

_AXIAL: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Frames:
    """Every image plane of a stack, and what had to be assumed."""

    frames: tuple[Frame, ...]
    warnings: tuple[str, ...] = ()


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
    if "PerFrameFunctionalGroupsSequence" in first:
        return Frames(_enhanced(first))
    if frame_count(first) > 1 or (
        text(first, "SOPClassUID") == NuclearMedicineImageStorage
        and "ImagePositionPatient" not in first
    ):
        return _nuclear(first)
    return Frames(tuple(_classic(header, i) for i, header in enumerate(headers)))


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


def _enhanced(header: Dataset) -> tuple[Frame, ...]:
    """Planes of an enhanced object: PS3.3 section C.7.6.16, per frame or shared."""
    if "ConcatenationUID" in header:
        raise InputError("a part of a concatenation", hint="export the object in one piece")
    shared = _first(header, "SharedFunctionalGroupsSequence")
    own = items(header, "PerFrameFunctionalGroupsSequence")
    if len(own) != frame_count(header):
        raise InputError(f"{frame_count(header)} frames, but the geometry of {len(own)}")

    def macro(groups: Dataset, name: str) -> Dataset:
        return _first(groups, name) or _first(shared, name)

    return tuple(
        _frame(
            0,
            index,
            position=numbers(macro(groups, "PlanePositionSequence"), "ImagePositionPatient"),
            orientation=numbers(
                macro(groups, "PlaneOrientationSequence"), "ImageOrientationPatient"
            ),
            measures=macro(groups, "PixelMeasuresSequence"),
            rescale=macro(groups, "PixelValueTransformationSequence") or header,
        )
        for index, groups in enumerate(own)
    )


def _nuclear(header: Dataset) -> Frames:
    """Planes of a reconstructed NM object: PS3.3 sections C.8.4.9, C.8.4.11 and C.8.4.15.

    Frames lie along the normal of the first; a negative SpacingBetweenSlices stacks them
    against it.
    """
    kind = (*image_type(header), "", "", "")[2]
    if text(header, "SOPClassUID") != NuclearMedicineImageStorage:
        raise InputError("a multi-frame object without positions of its frames")
    if kind != "RECON TOMO":
        raise InputError(f"NM of type {kind or 'unknown'}: planar or not reconstructed, no volume")
    count = frame_count(header)
    slices = integer(header, "NumberOfSlices", count)
    if slices != count:
        raise InputError(f"{count} images at {slices} positions (windows or time slots)")
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
            + step * (count - 1)
        )
        origin = tuple(-extent / 2)
        warnings.append("no ImagePositionPatient: the volume is centred on the origin")
    frames = tuple(
        _frame(
            0,
            index,
            position=tuple(np.asarray(origin) + index * step),
            orientation=orientation,
            measures=header,
            rescale=header,
        )
        for index in range(count)
    )
    return Frames(frames, tuple(warnings))


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
    slope = numbers(rescale, "RescaleSlope")
    intercept = numbers(rescale, "RescaleIntercept")
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
    if not np.isfinite(vector).all():
        raise GeometryError(f"{name} is not finite")
    return vector


def _in_plane(measures: Dataset) -> tuple[float, float]:
    """Voxel size along I and J; PixelSpacing names the distance between rows first."""
    spacing = numbers(measures, "PixelSpacing")
    if len(spacing) != 2:
        raise GeometryError("no PixelSpacing")
    if not (min(spacing) > 0 and np.isfinite(spacing).all()):
        raise GeometryError(f"PixelSpacing of {spacing[0]:g} x {spacing[1]:g} mm is not possible")
    return spacing[1], spacing[0]
