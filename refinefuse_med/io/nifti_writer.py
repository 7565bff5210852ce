"""Writing volumes as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import nibabel as nib
from monai.data import MetaTensor
from nibabel.nifti1 import xform_codes

from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.nifti_header import opened, read_header
from refinefuse_med.volume import Keys, SourceHeader, get_meta, modality_of, to_nibabel

__all__ = ["description_of", "space_of", "write_nifti"]

_DESCRIPTION_BYTES: Final = 79
"""``descrip`` of the NIfTI-1 header has 80, the last of them a zero."""


def description_of(volume: MetaTensor) -> str:
    """Give what NIfTI has no field for as its ``descrip``: ``modality=PT units=SUVbw``."""
    words = [f"modality={modality_of(volume)}"]
    if units := get_meta(volume, Keys.UNITS):
        words.append(f"units={units}")
    return " ".join(words).encode("ascii", "replace")[:_DESCRIPTION_BYTES].decode("ascii")


def space_of(source: SourceHeader) -> str:
    """Which space the coordinates of a volume belong to, in nibabel's words.

    ``scanner`` for DICOM and where it is not known; for NIfTI what the file says, so that a scan
    in MNI space stays one.
    """
    if source.format != "nifti" or not Path(source.path).is_file():
        return "scanner"
    with opened(Path(source.path)) as (file, _):
        header = read_header(file, Path(source.path))
    code = int(header["sform_code"]) or int(header["qform_code"])
    return str(xform_codes.label[code]) if code and code in xform_codes else "scanner"


def write_nifti(volume: MetaTensor, path: str | Path, *, space: str = "scanner") -> Path:
    """Write a volume as NIfTI-1: the same bytes for the same volume.

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K) or (3, I, J, K)
        One channel in real units, or three of uint8, which become RGB24.
    path : Path
        Ends in ``.nii`` or ``.nii.gz``.
    space : str
        Which space the affine leads to, see `space_of`.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        Neither one channel nor three of uint8.
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    image = to_nibabel(volume, space)
    image.header["descrip"] = description_of(volume)
    with atomic_file(path) as partial:
        nib.save(image, partial)
    return path
