"""What a preview shows: three planes of volumes turned to the patient's axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from refinefuse_med.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PLANES", "Plane", "Scene", "centre_of", "make_scene"]

_MARGIN_MM: Final = 9.0
_VISIBLE: Final = 30
"""Brightness, of 255, from which a voxel is worth showing."""
_VISIBLE_SHARE: Final = 0.01
"""Share of a slice's voxels that make the slice worth showing; noise in air stays below."""


class Plane(NamedTuple):
    """How a plane is shown, on axes turned to run to the patient's left, back and head."""

    name: str
    normal: int
    across: int
    down: int
    is_upright: bool
    letters: tuple[str, str, str, str]
    """Left, right, top, bottom."""


# Radiological convention: the patient's right is on the left of the picture.
PLANES: Final = (
    Plane("Axial", 2, 0, 1, False, ("R", "L", "A", "P")),
    Plane("Coronal", 1, 0, 2, True, ("R", "L", "S", "I")),
    Plane("Sagittal", 0, 1, 2, True, ("A", "P", "S", "I")),
)


@dataclass(frozen=True)
class Scene:
    """What is drawn: RGB volumes of shape (L, P, S, 3), cropped to what there is to see."""

    volumes: tuple[NDArray[np.uint8], ...]
    spacing_mm: tuple[float, float, float]
    point: tuple[int, int, int]
    offset: tuple[int, int, int]
    full_shape: tuple[int, int, int]

    def picture(self, column: int, plane: Plane) -> NDArray[np.uint8]:
        """The plane through the point, row 0 on top."""
        volume = np.moveaxis(self.volumes[column], plane.normal, 0)
        # The axes left over keep their order, and `across` always comes before `down`.
        image = volume[self.point[plane.normal]].transpose(1, 0, 2)
        return np.asarray(image[::-1] if plane.is_upright else image)

    def size_mm(self, plane: Plane) -> tuple[float, float]:
        """Width and height."""
        shape = self.volumes[0].shape
        across, down = plane.across, plane.down
        return shape[across] * self.spacing_mm[across], shape[down] * self.spacing_mm[down]


def _as_rgb(volume: ArrayLike | torch.Tensor) -> NDArray[np.uint8]:
    array = torch.as_tensor(volume).cpu().numpy()
    if array.dtype != np.uint8:
        array = np.clip(array, 0, 1)
        array *= 255
        array = np.rint(array, out=array).astype(np.uint8)
    if array.shape[0] == 1:
        array = np.broadcast_to(array, (3, *array.shape[1:]))
    return np.moveaxis(array, 0, -1)


def make_scene(
    volumes: list[Any], affine_ras: NDArray[np.float64], point_ijk: tuple[int, int, int] | None
) -> Scene:
    """Turn volumes on one grid to the patient's axes, and choose what is shown of them.

    Parameters
    ----------
    volumes : list of array, each (3, I, J, K) of uint8 or (1, I, J, K) of float in [0, 1]
        The second is the functional one.
    affine_ras : array, shape (4, 4)
        Voxel index to RAS mm.
    point_ijk : (int, int, int) or None
        Voxel the planes go through; None for the centre of the functional signal.

    Raises
    ------
    InputError
        The volumes do not share one grid.
    """
    arrays = [_as_rgb(volume) for volume in volumes]
    shape = arrays[0].shape[:3]
    if any(array.shape != (*shape, 3) for array in arrays):
        raise InputError("the preview needs all volumes on one grid")
    turn = _turn(affine_ras)
    arrays = [apply_orientation(array, turn) for array in arrays]
    turned = affine_ras @ inv_ornt_aff(turn, shape)
    spacing = np.linalg.norm(turned[:3, :3], axis=0)
    if point_ijk is None:
        point = _centre_of_mass(arrays[1])
    else:
        back = np.linalg.inv(inv_ornt_aff(turn, shape))
        point = np.rint(back[:3, :3] @ point_ijk + back[:3, 3]).astype(int)
    box = _crop_box(arrays, spacing, point)
    start = np.array([side.start for side in box])
    i, j, k = (point - start).tolist()
    full = arrays[0].shape
    return Scene(
        tuple(array[box] for array in arrays),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (i, j, k),
        (int(start[0]), int(start[1]), int(start[2])),
        (full[0], full[1], full[2]),
    )


def centre_of(
    functional: ArrayLike | torch.Tensor, affine_ras: NDArray[np.float64]
) -> tuple[int, int, int]:
    """Voxel that planes go through where none is chosen: the centre of the functional signal.

    Parameters
    ----------
    functional : array, shape (3, I, J, K) of uint8 or (1, I, J, K) of float in [0, 1]
    affine_ras : array, shape (4, 4)
        Voxel index to RAS mm.
    """
    array, turn = _as_rgb(functional), _turn(affine_ras)
    point = _centre_of_mass(apply_orientation(array, turn))
    back = inv_ornt_aff(turn, array.shape[:3])
    i, j, k = np.rint(back[:3, :3] @ point + back[:3, 3]).astype(int).tolist()
    return i, j, k


def _turn(affine_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """What brings the axes of a grid to run to the patient's left, back and head."""
    turn: NDArray[np.float64] = ornt_transform(io_orientation(affine_ras), axcodes2ornt("LPS"))
    return turn


def _centre_of_mass(rgb: NDArray[np.uint8]) -> NDArray[np.int_]:
    brightness = rgb.max(axis=-1)
    brightness[brightness < brightness.max() / 3] = 0
    total = brightness.sum(dtype=np.float64)
    if total == 0:
        return np.array(brightness.shape) // 2
    sums = [brightness.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64) for axis in range(3)]
    return np.array([round(float(s @ np.arange(s.size) / total)) for s in sums])


def _crop_box(
    arrays: list[NDArray[np.uint8]], spacing: NDArray[np.float64], point: NDArray[np.int_]
) -> tuple[slice, slice, slice]:
    """The part that is not background, and the point, with a margin."""
    visible = np.zeros(arrays[0].shape[:3], dtype=bool)
    for array in arrays:
        visible |= array.max(axis=-1) > _VISIBLE
    sides = []
    for axis in range(3):
        share = visible.mean(axis=tuple({0, 1, 2} - {axis}))
        found = np.append(np.flatnonzero(share > _VISIBLE_SHARE), point[axis])
        margin = int(np.ceil(_MARGIN_MM / spacing[axis]))
        sides.append(slice(max(int(found.min()) - margin, 0), int(found.max()) + margin + 1))
    return sides[0], sides[1], sides[2]
