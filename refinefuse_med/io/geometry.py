"""From the positions of slices to one grid, or to the reason why there is none.

All in LPS millimetres. Of the axes of a grid, I runs along the rows of the image (with the
column index), J down its columns (with the row index), K along the normal, I x J.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.grid import ORTHOGONALITY_TOLERANCE

__all__ = ["Frame", "StackGeometry", "places_of", "stack_geometry", "upright"]

SPACING_TOLERANCE: Final = 0.01
"""Deviation of a slice distance from the median, as a part of it, that counts as none."""

SPACING_LIMIT: Final = 0.1
"""Deviation above which slices are not evenly spaced."""

POSITION_TOLERANCE_MM: Final = 1e-3
"""Slices nearer than this along the normal lie at one position."""

MAX_TILT_DEGREES: Final = 45.0
"""Largest tilt that is one: gantries reach 30 degrees."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image plane and how its stored values become real ones.

    Attributes
    ----------
    file : int
        Index of its file in the stack.
    index : int
        Which frame of the file, from 0.
    position_lps : array, shape (3,)
        Centre of the first voxel, mm (ImagePositionPatient).
    orientation : array, shape (6,)
        Direction cosines of I, then of J (ImageOrientationPatient).
    spacing_mm : tuple of float
        Voxel size along I and J. PixelSpacing has the other order: between rows first.
    thickness_mm : float or None
        Distance to assume to a next slice, where there is none.
    slope, intercept : float
        Rescale of this frame.
    """

    file: int
    index: int
    position_lps: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, eq=False)
class StackGeometry:
    """The order of the frames along K, and where their grid lies.

    Attributes
    ----------
    order : tuple of int
        Indices of the frames along K.
    affine_lps : array, shape (4, 4)
        Voxel index to LPS mm.
    warnings : tuple of str
        What was tolerated or mended.
    grown : tuple of int
        How many voxels more than an image the grid has along I and J.
    shifts : array, shape (K, 2), or None
        For each slice, what to add to an index (I, J) of the grid to find it in the image;
        None where they are the same.
    """

    order: tuple[int, ...]
    affine_lps: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    grown: tuple[int, int] = (0, 0)
    shifts: NDArray[np.float64] | None = None


def stack_geometry(frames: Sequence[Frame]) -> StackGeometry:
    """Order frames along their normal and find the grid that they fill.

    Slices of a tilted gantry, each shifted against the one before, get an upright grid that
    is wide enough for all of them.

    Raises
    ------
    InputError
        More than one orientation or voxel size, or several images at one position.
    GeometryError
        Image axes not at right angles, a gap, uneven distances, or slices not on one line.
    """
    axis_i, axis_j, normal = _axes(frames)
    spacing = np.array([frame.spacing_mm for frame in frames])
    if np.ptp(spacing, axis=0).max() > SPACING_TOLERANCE * spacing.min():
        raise InputError("images of more than one voxel size in one series")
    positions = np.array([frame.position_lps for frame in frames])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    affine = np.eye(4)
    affine[:3, 0] = axis_i * spacing[0, 0]
    affine[:3, 1] = axis_j * spacing[0, 1]
    affine[:3, 3] = positions[order[0]]
    if len(frames) == 1:
        affine[:3, 2] = normal * _thickness(frames[0])
        return StackGeometry((0,), affine)
    warnings = _check_distances(along[order])
    step = (positions[order[-1]] - positions[order[0]]) / (len(frames) - 1)
    _check_line(positions[order], step, normal)
    affine[:3, 2] = step
    geometry = StackGeometry(tuple(int(i) for i in order), affine, warnings)
    return _upright(geometry, normal) if _is_sheared(step, normal) else geometry


def upright(
    plane: NDArray[np.float32], shift: NDArray[np.float64], size: tuple[int, int], fill: float
) -> NDArray[np.float32]:
    """Bring an image (I, J) of a tilted stack onto its upright grid, linearly."""
    moved: NDArray[np.float32] = ndimage.affine_transform(
        plane, np.ones(2), offset=shift, output_shape=size, order=1, mode="constant", cval=fill
    )
    return moved


def places_of(frames: Sequence[Frame]) -> int:
    """Number of different positions along the normal of the first frame."""
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    along = np.sort([float(frame.position_lps @ normal) for frame in frames])
    return 1 + int((np.diff(along) > POSITION_TOLERANCE_MM).sum())


def _axes(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], ...]:
    cosines = np.array([frame.orientation for frame in frames])
    if np.ptp(cosines, axis=0).max() > ORTHOGONALITY_TOLERANCE:
        raise InputError("images of more than one orientation in one series")
    axis_i, axis_j = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([axis_i, axis_j], axis=1)
    if np.abs(lengths - 1).max() > 1e-2:
        raise GeometryError("ImageOrientationPatient does not hold unit vectors")
    axis_i, axis_j = axis_i / lengths[0], axis_j / lengths[1]
    if abs(axis_i @ axis_j) > ORTHOGONALITY_TOLERANCE:
        raise GeometryError("ImageOrientationPatient does not hold vectors at right angles")
    normal = np.cross(axis_i, axis_j)
    normal /= np.linalg.norm(normal)
    return axis_i, np.cross(normal, axis_i), normal


def _thickness(frame: Frame) -> float:
    if not frame.thickness_mm:
        raise GeometryError("a single slice without a thickness")
    return frame.thickness_mm


def _check_distances(along: NDArray[np.float64]) -> tuple[str, ...]:
    """Check that ordered slices are evenly spaced; `along` is their place on the normal, mm."""
    distances = np.diff(along)
    together = int((distances <= POSITION_TOLERANCE_MM).sum())
    if together:
        places = len(along) - together
        raise InputError(
            f"{len(along)} images at {places} positions (several time points, echoes or parts)",
            hint="export one image for each position",
        )
    usual = float(np.median(distances))
    deviation = np.abs(distances - usual) / usual
    worst = int(deviation.argmax())
    if deviation[worst] <= SPACING_TOLERANCE:
        return ()
    if distances[worst] > 1.5 * usual:
        missing = round(distances[worst] / usual) - 1
        raise GeometryError(
            f"a gap of {distances[worst]:.2f} mm between the slices at {along[worst]:.2f} and "
            f"{along[worst + 1]:.2f} mm along the slice normal, where {usual:.2f} mm is usual "
            f"({missing} missing)",
            hint="get the whole series",
        )
    spread = f"slice distances from {distances.min():.3f} to {distances.max():.3f} mm"
    if deviation[worst] > SPACING_LIMIT:
        raise GeometryError(f"uneven {spread}", hint="resample the scan to even slices first")
    return (f"{spread}; their mean was taken",)


def _check_line(
    positions: NDArray[np.float64], step: NDArray[np.float64], normal: NDArray[np.float64]
) -> None:
    """Check that ordered positions lie on a line along the normal."""
    distance = float(step @ normal)
    ideal = positions[0] + np.arange(len(positions))[:, None] * step
    sideways = (positions - ideal) - ((positions - ideal) @ normal)[:, None] * normal
    if np.linalg.norm(sideways, axis=1).max() > SPACING_LIMIT * distance:
        raise GeometryError("the slices do not lie behind each other on one line")


def _is_sheared(step: NDArray[np.float64], normal: NDArray[np.float64]) -> bool:
    sideways = step - (step @ normal) * normal
    return bool(np.linalg.norm(sideways) > ORTHOGONALITY_TOLERANCE * np.linalg.norm(step))


def _upright(geometry: StackGeometry, normal: NDArray[np.float64]) -> StackGeometry:
    """Replace a grid sheared along K by one at right angles that holds all of it."""
    affine = geometry.affine_lps.copy()
    step = affine[:3, 2]
    distance = float(step @ normal)
    size = np.linalg.norm(affine[:3, :2], axis=0)
    # What one slice is shifted against the one before, in voxels along I and J.
    drift = (affine[:3, :2] / size).T @ step / size
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(drift * size), distance)))
    if tilt > MAX_TILT_DEGREES:
        raise GeometryError(f"the slices are sheared by {tilt:.0f} degrees")
    last = len(geometry.order) - 1
    start = np.minimum(0.0, last * drift)
    affine[:3, 3] += affine[:3, :2] @ start
    affine[:3, 2] = distance * normal
    shifts = start - np.arange(last + 1)[:, None] * drift
    more_i, more_j = np.ceil(np.abs(last * drift) - 1e-6).astype(int)
    return replace(
        geometry,
        affine_lps=affine,
        warnings=(
            *geometry.warnings,
            f"slices tilted by {tilt:.1f} degrees were interpolated onto an upright grid",
        ),
        grown=(int(more_i), int(more_j)),
        # Rounded, so that the outermost voxels do not fall outside by an error of 1e-16.
        shifts=np.round(shifts, 6),
    )
