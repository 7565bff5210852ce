"""Read NIfTI volumes, grey or RGB24, affine and values as they are."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from monai.data import MetaTensor

from refinefuse_med.errors import InputError
from refinefuse_med.io.nifti_header import plan_nifti
from refinefuse_med.volume import SourceHeader, make_volume

__all__ = ["read_nifti"]


def read_nifti(path: Path, modality: str | None = None, frame: int | None = None) -> MetaTensor:
    """Read a NIfTI file.

    Parameters
    ----------
    path : Path
        A .nii or .nii.gz file.
    modality : str, optional
        DICOM modality code; overrules what the file, its sidecar or its name say.

    Returns
    -------
    MetaTensor, shape (1, I, J, K) float32, or (3, I, J, K) uint8 for RGB24
        With scl_slope and scl_inter applied.

    Raises
    ------
    InputError
        Not a NIfTI file, damaged, or of more than one frame.
    GeometryError
        Its affine is not finite or has no inverse.
    """
    plan = plan_nifti(path, modality)
    plan.require_volume(path)
    dtype = plan.image.get_data_dtype()
    if dtype.fields and set(dtype.names) != {"R", "G", "B"}:
        raise InputError("colour with transparency is not supported", where=path)
    if np.issubdtype(dtype, np.complexfloating):
        raise InputError("complex values", where=path, hint="save the magnitude")
    try:
        if dtype.fields:
            stored = np.asanyarray(plan.image.dataobj).reshape(plan.shape)
            data = np.stack([stored[name] for name in ("R", "G", "B")])
        else:
            data = plan.image.get_fdata(dtype=np.float32, caching="unchanged").reshape(plan.shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("the file is truncated or damaged", where=path) from error
    return make_volume(
        data,
        plan.affine_ras,
        modality=plan.modality,
        units=plan.units,
        source=SourceHeader("nifti", str(path), warnings=plan.warnings),
    )
