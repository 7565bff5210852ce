"""Writing a deformable registration as a DICOM object (PS3.3 A.39.2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import DeformableSpatialRegistrationStorage

from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.io.objects.references import list_references, reference
from refinefuse_med.io.objects.slices import decimals, save_instance
from refinefuse_med.io.objects.spatial_registration import begin_registration, matrix_item
from refinefuse_med.volume import Grid, SourceHeader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Displacement", "write_deformable_registration"]

Displacement = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]
"""From points of the fixed scan, shape (3, N), to how far they are moved; LPS mm."""

_STEP_MM: Final = 4.0
"""Most distance of the vectors; a viewer interpolates between them."""


def write_deformable_registration(
    matrix_fixed_to_moving_lps: ArrayLike,
    displacement: Displacement,
    grid: Grid,
    fixed: SourceHeader,
    moving: SourceHeader,
    path: str | Path,
    *,
    study: Dataset,
    description: str = "RefineFuse registration (deformable)",
) -> Path:
    """Write where to sample the moving series for each place of the fixed one.

    DICOM maps a point x of the fixed frame of reference to M (x + d(x)) of the moving one
    (PS3.3 C.20.3.1.1), as we do.

    Parameters
    ----------
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        M, LPS mm.
    displacement : callable
        d.
    grid : Grid
        What the vectors cover: that of the fixed volume.
    fixed, moving : SourceHeader
        Both with DICOM headers, which the object refers to.
    path : Path
        A DICOM file.
    study : Dataset
        From `refinefuse_med.io.objects.derived.derive_study`.
    description : str
        Series Description.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        One of the two has no DICOM headers, or `moving` no frame of reference.
    OutputError
        The file cannot be written.
    """
    if not fixed.datasets or not moving.datasets:
        raise InputError("a registration object needs two DICOM series")
    frame = moving.datasets[0].get("FrameOfReferenceUID")
    if not frame:
        raise InputError("a deformable registration object needs a frame of reference")
    instance = begin_registration(
        study, DeformableSpatialRegistrationStorage, description, (fixed, moving)
    )
    item = Dataset()
    item.SourceFrameOfReferenceUID = frame
    item.ReferencedImageSequence = [reference(header) for header in moving.datasets]
    item.RegistrationTypeCodeSequence = [code_item(codes.DCM.ImageContentBasedAlignment)]
    item.DeformableRegistrationGridSequence = [_vectors(grid, displacement)]
    item.PostDeformationMatrixRegistrationSequence = [
        matrix_item(np.asarray(matrix_fixed_to_moving_lps, dtype=np.float64))
    ]
    instance.DeformableRegistrationSequence = [item]
    list_references(instance, (moving,))
    return save_instance(instance, Path(path))


def _vectors(grid: Grid, displacement: Displacement) -> Dataset:
    """Sample the displacement from the first voxel to the last, along rows, columns, normal."""
    affine = grid.affine_lps
    if np.linalg.det(affine[:3, :3]) < 0:  # DICOM has no sign for the direction of depth
        affine = affine @ np.diag([1.0, 1.0, -1.0, 1.0])
        affine[:3, 3] = (grid.affine_lps @ (0, 0, grid.shape[2] - 1, 1))[:3]
    lengths = [(n - 1) * mm for n, mm in zip(grid.shape, grid.spacing_mm, strict=True)]
    counts = [int(np.ceil(length / _STEP_MM)) + 1 for length in lengths]
    steps = [length / max(1, n - 1) or 1.0 for length, n in zip(lengths, counts, strict=True)]
    directions = affine[:3, :3] / np.asarray(grid.spacing_mm)
    k, j, i = np.meshgrid(*(np.arange(n) for n in reversed(counts)), indexing="ij")
    along = np.stack([axis.ravel() * step for axis, step in zip((i, j, k), steps, strict=True)])
    points = affine[:3, 3:] + directions @ along
    item = Dataset()
    item.ImagePositionPatient = decimals(affine[:3, 3])
    item.ImageOrientationPatient = decimals(directions[:, :2].T.ravel())
    item.GridDimensions = counts
    item.GridResolution = [float(step) for step in steps]
    item.VectorGridData = displacement(points).T.astype("<f4").tobytes()
    return item
