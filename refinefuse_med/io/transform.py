"""Writing and reading spatial transforms as ITK ``.tfm`` files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import SimpleITK as sitk

from refinefuse_med.errors import InputError, OutputError
from refinefuse_med.io.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from refinefuse_med.grid import Grid

    _Array = NDArray[np.float64]

__all__ = [
    "matrix_of",
    "read_deformed",
    "read_itk_transform",
    "read_transform",
    "write_displacement",
    "write_transform",
]

_RIGID_TOLERANCE: Final = 1e-12
"""How well three angles must give back the matrix; 1e-12 is 1e-9 mm a metre away."""

_LEVER_MM: Final = 1000.0
"""How far from the origin a transform is probed for its matrix."""


def write_transform(
    matrix_fixed_to_moving_lps: ArrayLike,
    path: str | Path,
    center_lps: ArrayLike | None = None,
    before: sitk.Transform | None = None,
) -> Path:
    """Write a transform that maps points of fixed to points of moving, as ITK does.

    A rotation with a shift becomes an ``Euler3DTransform``, anything else (and a rotation
    that three angles do not hold exactly) an ``AffineTransform``.

    Parameters
    ----------
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        LPS millimetres.
    path : Path
        Ends in ``.tfm`` or ``.txt``.
    center_lps : array, shape (3,), optional
        Centre of rotation noted in the file; it does not change where points go.
    before : SimpleITK.Transform, optional
        Applied to points before the matrix, such as a deformation: a composite is written.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    matrix = np.asarray(matrix_fixed_to_moving_lps, dtype=np.float64)
    center = np.zeros(3) if center_lps is None else np.asarray(center_lps, dtype=np.float64)
    transform = _rigid(matrix, center) or _linear(sitk.AffineTransform(3), matrix, center)
    if before is not None:
        transform = sitk.CompositeTransform([transform, before])  # ITK applies the last one first
    with atomic_file(path) as partial:
        try:
            sitk.WriteTransform(transform, str(partial))
        except RuntimeError as error:
            raise OutputError("the transform cannot be written", where=path) from error
    return path


def _linear(transform: sitk.Transform, matrix: _Array, center: _Array) -> sitk.Transform:
    linear, shift = matrix[:3, :3], matrix[:3, 3]
    transform.SetCenter(center.tolist())
    transform.SetMatrix(linear.ravel().tolist())
    # ITK: T(x) = A (x - c) + c + t
    transform.SetTranslation((shift + linear @ center - center).tolist())
    return transform


def _rigid(matrix: _Array, center: _Array) -> sitk.Transform | None:
    rotation = matrix[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _RIGID_TOLERANCE:
        return None
    if np.linalg.det(rotation) < 0:
        return None
    transform = _linear(sitk.Euler3DTransform(), matrix, center)
    # The file holds the angles, which near 90 degrees are worth only half the digits.
    stored = sitk.Euler3DTransform(center.tolist(), *transform.GetParameters()[:3])
    apart = np.abs(np.reshape(stored.GetMatrix(), (3, 3)) - rotation).max()
    return transform if apart <= _RIGID_TOLERANCE else None


def write_displacement(
    path: str | Path, grid: Grid, slices: Iterable[NDArray[np.floating]]
) -> Path:
    """Write displacements of points of fixed as a NIfTI field, which ITK and 3D Slicer read.

    Stored as NIfTI has it: five axes, intent DISPVECT, RAS mm.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    grid : Grid
        Of fixed.
    slices : iterable of array, shape (3, I, J)
        Displacement from fixed to moving, LPS mm, slice by slice along K.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import nibabel as nib

    path = Path(path)
    field = np.empty((*grid.shape, 1, 3), dtype=np.float32)
    for k, displacement in enumerate(slices):
        field[:, :, k, 0] = np.moveaxis(displacement, 0, -1) * (-1, -1, 1)
    image = nib.Nifti1Image(field, grid.affine_ras)
    image.set_sform(grid.affine_ras, code="scanner")
    image.set_qform(grid.affine_ras, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header.set_intent("displacement vector")
    with atomic_file(path) as partial:
        nib.save(image, partial)
    return path


def read_itk_transform(path: str | Path) -> sitk.Transform:
    """Read an ITK transform of any kind, linear or not, alone or composite.

    Raises
    ------
    InputError
        The file cannot be read, or its transform is not 3D.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=path)
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise InputError("is not an ITK transform", where=path) from error
    if transform.GetDimension() != 3:
        raise InputError("is not a transform in three dimensions", where=path)
    return transform


def read_transform(path: str | Path) -> _Array:
    """Read a linear ITK transform, of any kind, as a matrix.

    Returns
    -------
    array, shape (4, 4)
        Maps points of fixed to points of moving, LPS millimetres.

    Raises
    ------
    InputError
        The file cannot be read, or its transform is not linear or not 3D.
    """
    transform = read_itk_transform(path)
    if not transform.IsLinear():
        raise InputError(
            "is not a linear transform", where=path, hint="register --apply takes it all the same"
        )
    return matrix_of(transform)


def read_deformed(path: str | Path) -> tuple[_Array, sitk.Transform | None]:
    """Read what `write_transform` wrote: a matrix, and what comes before it.

    Returns
    -------
    array, shape (4, 4)
        As of `read_transform`.
    SimpleITK.Transform or None
        Of points of fixed, before the matrix; None where the file holds a linear transform.

    Raises
    ------
    InputError
        The file cannot be read, or is not a linear transform with at most one other before it.
    """
    transform = read_itk_transform(path)
    if transform.IsLinear():
        return matrix_of(transform), None
    parts = [transform]
    if isinstance(transform.Downcast(), sitk.CompositeTransform):
        whole = sitk.CompositeTransform(transform)
        parts = [whole.GetNthTransform(n) for n in range(whole.GetNumberOfTransforms())]
    # ITK applies the last one first.
    linear, last = parts[:-1], parts[-1]
    if len(linear) > 1 or not all(part.IsLinear() for part in linear) or last.IsLinear():
        raise InputError(
            "is not a matrix after one deformation",
            where=path,
            hint="register --apply takes it all the same",
        )
    return (matrix_of(linear[0]) if linear else np.eye(4)), last


def matrix_of(transform: sitk.Transform) -> _Array:
    """The matrix of a linear transform, shape (4, 4), LPS millimetres."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis, point in enumerate(_LEVER_MM * np.eye(3)):
        moved = np.asarray(transform.TransformPoint(point.tolist()))
        matrix[:3, axis] = (moved - matrix[:3, 3]) / _LEVER_MM
    return matrix
