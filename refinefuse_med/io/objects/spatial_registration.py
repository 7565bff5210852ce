"""Writing the registration as a DICOM Spatial Registration object (PS3.3 A.39)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SpatialRegistrationStorage, generate_uid
from pydicom.valuerep import DSfloat

from refinefuse_med.errors import InputError
from refinefuse_med.io.objects.derived import derive_series
from refinefuse_med.io.objects.slices import save_instance
from refinefuse_med.volume import SourceHeader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["write_registration"]

_SERIES_OFFSET: Final = 3
_RIGID_TOLERANCE: Final = 1e-6


def write_registration(
    matrix_fixed_to_moving_lps: ArrayLike,
    fixed: SourceHeader,
    moving: SourceHeader,
    path: str | Path,
    *,
    study: Dataset,
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
    instance = derive_series(
        study,
        sop_class_uid=SpatialRegistrationStorage,
        modality="REG",
        description=description,
        derivation=None,
        offset=_SERIES_OFFSET,
        sources=[fixed, moving],
    )
    instance.SOPInstanceUID = generate_uid(prefix=None)
    instance.InstanceNumber = 1
    instance.ContentLabel = "REGISTRATION"
    instance.ContentDescription = None
    instance.ContentCreatorName = None
    moving_to_fixed = np.linalg.inv(np.asarray(matrix_fixed_to_moving_lps, dtype=np.float64))
    instance.RegistrationSequence = [
        _registered(fixed, np.eye(4)),
        _registered(moving, moving_to_fixed),
    ]
    _list_references(instance, (fixed, moving))
    return save_instance(instance, Path(path))


def _registered(source: SourceHeader, to_fixed: np.ndarray) -> Dataset:
    rotation = to_fixed[:3, :3]
    is_rigid = np.abs(rotation @ rotation.T - np.eye(3)).max() <= _RIGID_TOLERANCE
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID" if is_rigid else "AFFINE"
    matrix.FrameOfReferenceTransformationMatrix = [
        DSfloat(float(value) + 0.0, auto_format=True) for value in to_fixed.ravel()
    ]
    registration = Dataset()
    registration.RegistrationTypeCodeSequence = []  # type 2
    registration.MatrixSequence = [matrix]
    item = Dataset()
    if uid := source.datasets[0].get("FrameOfReferenceUID"):
        item.FrameOfReferenceUID = uid
    # Where both share one frame of reference, only the images tell which is meant.
    item.ReferencedImageSequence = [_reference(header) for header in source.datasets]
    item.MatrixRegistrationSequence = [registration]
    return item


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _list_references(instance: Dataset, sources: Iterable[SourceHeader]) -> None:
    """Add the Common Instance Reference module (PS3.3 C.12.2)."""
    own, others = [], []
    for source in sources:
        first = source.datasets[0]
        series = Dataset()
        series.SeriesInstanceUID = first.SeriesInstanceUID
        series.ReferencedInstanceSequence = [_reference(header) for header in source.datasets]
        if first.StudyInstanceUID == instance.StudyInstanceUID:
            own.append(series)
            continue
        study = Dataset()
        study.StudyInstanceUID = first.StudyInstanceUID
        study.ReferencedSeriesSequence = [series]
        others.append(study)
    if own:
        instance.ReferencedSeriesSequence = own
    if others:
        instance.StudiesContainingOtherReferencedInstancesSequence = others
