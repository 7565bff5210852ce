"""From the positions of slices to one grid, or to the reason why there is none.

All in LPS millimetres. Of the axes of a grid, I runs along the rows of the image (with the
column index), J down its columns (with the row index), K along the normal, I x J.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.grid import ORTHOGONALITY_TOLERANCE

__all__ = ["Frame", "StackGeometry", "place_numbers", "stack_geometry", "upright"]

SPACING_TOLERANCE: Final = 0.01
"""Distance of a slice from its place on an even grid, in slice distances, that counts as none."""

SPACING_LIMIT: Final = 0.1
"""Distance above which slices are not on an even grid, and have to be interpolated onto one."""

GAP: Final = 1.5
"""How many usual slice distances are a gap, where slices are missing."""

RUN: Final = 3
"""Equal distances in a row that were meant, such as wide slices above a finely cut skull base."""

UNEVEN_LIMIT_MM: Final = 10.0
"""Largest distance between slices that is interpolated; more is not one scan."""

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
    traits : dict
        What may tell it from another image at its place, see `refinefuse_med.io.traits`.
    tile : tuple of int, or None
        Row and column of its first pixel, where many slices lie side by side in one image.
    """

    file: int
    index: int
    position_lps: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    slope: float = 1.0
    intercept: float = 0.0
    traits: Mapping[str, object] = field(default_factory=dict)
    tile: tuple[int, int] | None = None


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
    shifts : array, shape (len(order), 2), or None
        For each frame in order, what to add to an index (I, J) of the grid to find it in the
        image; None where they are the same.
    places : array, shape (K,), or None
        For each slice of the grid, its place between the ordered frames, as a fraction of an
        index; None where they are the same.
    """

    order: tuple[int, ...]
    affine_lps: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    grown: tuple[int, int] = (0, 0)
    shifts: NDArray[np.float64] | None = None
    places: NDArray[np.float64] | None = None


def stack_geometry(frames: Sequence[Frame], *, allow_gaps: bool = False) -> StackGeometry:
    """Order frames along their normal and find the grid that they fill.

    Slices of a tilted gantry, each shifted against the one before, get an upright grid that
    is wide enough for all of them. Slices at uneven distances get an even grid, as fine as the
    finest of them; both are for the reader to interpolate.

    Parameters
    ----------
    frames : sequence of Frame
    allow_gaps : bool
        Interpolate missing slices too.

    Raises
    ------
    InputError
        More than one orientation or voxel size, or several images at one position.
    GeometryError
        Image axes not at right angles, missing slices, or slices not on one line.
    """
    axis_i, axis_j, normal = _axes(frames)
    spacing = np.array([frame.spacing_mm for frame in frames])
    if np.ptp(spacing, axis=0).max() > SPACING_TOLERANCE * spacing.min():
        raise InputError("images of more than one voxel size in one series")
    positions = np.array([frame.position_lps for frame in frames])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    positions, along = positions[order], along[order]
    affine = np.eye(4)
    affine[:3, 0] = axis_i * spacing[0, 0]
    affine[:3, 1] = axis_j * spacing[0, 1]
    affine[:3, 3] = positions[0]
    if len(frames) == 1:
        affine[:3, 2] = normal * _thickness(frames[0])
        return StackGeometry((0,), affine)
    places, warnings = _places(along, allow_gaps)
    # How far a slice moves for each millimetre along the normal.
    run = (positions[-1] - positions[0]) / (along[-1] - along[0])
    _check_line(positions, along, run)
    count = len(frames) if places is None else len(places)
    affine[:3, 2] = run * (along[-1] - along[0]) / (count - 1)
    geometry = StackGeometry(tuple(int(i) for i in order), affine, warnings, places=places)
    return _upright(geometry, along, normal) if _is_sheared(run, normal) else geometry


def upright(
    plane: NDArray[np.float32], shift: NDArray[np.float64], size: tuple[int, int], fill: float
) -> NDArray[np.float32]:
    """Bring an image (I, J) of a tilted stack onto its upright grid, linearly."""
    moved: NDArray[np.float32] = ndimage.affine_transform(
        plane, np.ones(2), offset=shift, output_shape=size, order=1, mode="constant", cval=fill
    )
    return moved


def place_numbers(frames: Sequence[Frame]) -> list[int]:
    """Number the places of frames along the normal of the first, from 0; equal ones alike."""
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    along = np.array([float(frame.position_lps @ normal) for frame in frames])
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order]) > POSITION_TOLERANCE_MM
    numbers = np.empty(len(frames), dtype=int)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])
    return [int(number) for number in numbers]


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


def _places(
    along: NDArray[np.float64], allow_gaps: bool
) -> tuple[NDArray[np.float64] | None, tuple[str, ...]]:
    """Where the slices of an even grid lie between ordered ones at `along` (mm on the normal).

    None where the slices lie evenly themselves. Places count, not distances: many small
    deviations to one side would add up.
    """
    distances = np.diff(along)
    together = int((distances <= POSITION_TOLERANCE_MM).sum())
    if together:
        places = len(along) - together
        raise InputError(
            f"{len(along)} images at {places} positions, and nothing tells which belong together",
            hint="export one image for each position",
        )
    even = np.linspace(along[0], along[-1], len(along))
    usual = float(np.median(distances))
    deviation = float(np.abs(along - even).max() / usual)
    spread = f"slice distances from {distances.min():.3f} to {distances.max():.3f} mm"
    if deviation <= SPACING_LIMIT and distances.max() <= GAP * usual:
        warned = deviation > SPACING_TOLERANCE
        return None, ((f"{spread}; their mean was taken",) if warned else ())
    gaps = _gaps(distances, usual)
    if len(gaps) and not allow_gaps:
        raise _missing(along, gaps, usual)
    if distances.max() > UNEVEN_LIMIT_MM and not len(gaps):
        raise GeometryError(f"uneven {spread}", hint="resample the scan to even slices first")
    finest = float(distances.min())
    count = 1 + max(1, round((along[-1] - along[0]) / finest))
    step = (along[-1] - along[0]) / (count - 1)
    found = np.interp(np.linspace(along[0], along[-1], count), along, np.arange(len(along)))
    notes = [f"{spread} were interpolated to {step:.3f} mm"]
    if len(gaps):
        lost = sum(round(distances[gap] / usual) - 1 for gap in gaps)
        where = ", ".join(f"{along[g]:.2f} to {along[g + 1]:.2f}" for g in gaps[:5])
        notes.append(f"{lost} missing slices were interpolated (mm along the normal: {where})")
    return found, tuple(notes)


def _gaps(distances: NDArray[np.float64], usual: float) -> NDArray[np.intp]:
    """Which distances are holes: too wide, and not one of a run of equal ones."""
    wide = distances > GAP * usual
    alike = np.abs(np.diff(distances)) <= SPACING_LIMIT * distances[:-1]
    for first in range(len(alike) - RUN + 2):
        if alike[first : first + RUN - 1].all():
            wide[first : first + RUN] = False
    return np.flatnonzero(wide)


def _missing(along: NDArray[np.float64], gaps: NDArray[np.intp], usual: float) -> GeometryError:
    first = gaps[0]
    width = along[first + 1] - along[first]
    others = f", and {len(gaps) - 1} more gaps" if len(gaps) > 1 else ""
    return GeometryError(
        f"a gap of {width:.2f} mm between the slices at {along[first]:.2f} and "
        f"{along[first + 1]:.2f} mm along the slice normal, where {usual:.2f} mm is usual "
        f"({round(width / usual) - 1} missing{others})",
        hint="get the whole series, or have the gap interpolated with --allow-gaps",
    )


def _check_line(
    positions: NDArray[np.float64], along: NDArray[np.float64], run: NDArray[np.float64]
) -> None:
    """Check that ordered positions lie on a line."""
    away = positions - positions[0] - (along - along[0])[:, None] * run
    if np.linalg.norm(away, axis=1).max() > SPACING_LIMIT * np.median(np.diff(along)):
        raise GeometryError("the slices do not lie behind each other on one line")


def _is_sheared(run: NDArray[np.float64], normal: NDArray[np.float64]) -> bool:
    return bool(np.linalg.norm(run - normal) > ORTHOGONALITY_TOLERANCE * np.linalg.norm(run))


def _upright(
    geometry: StackGeometry, along: NDArray[np.float64], normal: NDArray[np.float64]
) -> StackGeometry:
    """Replace a grid sheared along K by one at right angles that holds all of it."""
    affine = geometry.affine_lps.copy()
    step = affine[:3, 2]
    distance = float(step @ normal)
    size = np.linalg.norm(affine[:3, :2], axis=0)
    # What a slice is shifted for each millimetre along the normal, in voxels along I and J.
    drift = (affine[:3, :2] / size).T @ step / size / distance
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(drift * size), 1.0)))
    if tilt > MAX_TILT_DEGREES:
        raise GeometryError(f"the slices are sheared by {tilt:.0f} degrees")
    length = float(along[-1] - along[0])
    start = np.minimum(0.0, length * drift)
    affine[:3, 3] += affine[:3, :2] @ start
    affine[:3, 2] = distance * normal
    shifts = start - (along - along[0])[:, None] * drift
    more_i, more_j = np.ceil(np.abs(length * drift) - 1e-6).astype(int)
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
