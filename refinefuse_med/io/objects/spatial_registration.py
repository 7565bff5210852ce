"""Writing the registration as a DICOM Spatial Registration object (PS3.3 A.39)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SpatialRegistrationStorage

from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.codes import code_item
from refinefuse_med.io.objects.derived import derive_series, only_instance
from refinefuse_med.io.objects.references import list_references, reference
from refinefuse_med.io.objects.slices import decimals, save_instance
from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["begin_registration", "matrix_item", "write_registration"]

_SERIES_OFFSET: Final = 3
_RIGID_TOLERANCE: Final = 1e-6
_TYPES: Final[Mapping[str, Code]] = {
    "header": codes.DCM.FrameOfReferenceIdentity,
    "rigid": codes.DCM.ImageContentBasedAlignment,
    "affine": codes.DCM.ImageContentBasedAlignment,
}
"""Registration Type (PS3.16 CID 7100) of the methods that have one."""


def write_registration(
    matrix_fixed_to_moving_lps: ArrayLike,
    fixed: SourceHeader,
    moving: SourceHeader,
    path: str | Path,
    *,
    study: Dataset,
    method: str = "rigid",
    description: str = "RefineFuse registration",
) -> Path:
    """Write where the moving series lies in the frame of reference of the fixed one.

    Parameters
    ----------
    matrix_fixed_to_moving_lps : array, shape (4, 4)
        Maps points of fixed to points of moving, LPS mm. DICOM wants, and gets, its inverse.
    fixed, moving : SourceHeader
        Both with DICOM headers, which the object refers to.
    path : Path
        A DICOM file.
    study : Dataset
        From `refinefuse_med.io.objects.derived.derive_study`.
    method : str
        How the two were registered; told in codes of PS3.16 CID 7100.
    description : str
        Series Description.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        One of the two has no DICOM headers.
    OutputError
        The file cannot be written.
    """
    if not fixed.datasets or not moving.datasets:
        raise InputError("a registration object needs two DICOM series")
    instance = begin_registration(study, SpatialRegistrationStorage, description, (fixed, moving))
    moving_to_fixed = np.linalg.inv(np.asarray(matrix_fixed_to_moving_lps, dtype=np.float64))
    instance.RegistrationSequence = [
        _registered(fixed, np.eye(4), codes.DCM.FrameOfReferenceIdentity),
        _registered(moving, moving_to_fixed, _TYPES.get(method)),
    ]
    list_references(instance, (fixed, moving))
    return save_instance(instance, Path(path))


def begin_registration(
    study: Dataset, sop_class_uid: str, description: str, sources: tuple[SourceHeader, ...]
) -> Dataset:
    """Begin the one instance of a registration, whichever its class."""
    series = derive_series(
        study,
        sop_class_uid=sop_class_uid,
        modality="REG",
        description=description,
        derivation=None,
        offset=_SERIES_OFFSET,
        sources=sources,
    )
    return only_instance(series, "REGISTRATION")


def matrix_item(matrix_lps: NDArray[np.float64]) -> Dataset:
    """Make the item of a 4 x 4 matrix, LPS mm."""
    rotation = matrix_lps[:3, :3]
    is_rigid = np.abs(rotation @ rotation.T - np.eye(3)).max() <= _RIGID_TOLERANCE
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID" if is_rigid else "AFFINE"
    matrix.FrameOfReferenceTransformationMatrix = decimals(matrix_lps.ravel())
    return matrix


def _registered(source: SourceHeader, to_fixed: np.ndarray, how: Code | None) -> Dataset:
    registration = Dataset()
    registration.RegistrationTypeCodeSequence = [] if how is None else [code_item(how)]  # type 2
    registration.MatrixSequence = [matrix_item(to_fixed)]
    item = Dataset()
    if uid := source.datasets[0].get("FrameOfReferenceUID"):
        item.FrameOfReferenceUID = uid
    # Where both share one frame of reference, only the images tell which is meant.
    item.ReferencedImageSequence = [reference(header) for header in source.datasets]
    item.MatrixRegistrationSequence = [registration]
    return item
