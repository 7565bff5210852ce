"""Writing volumes in the formats of ITK: MetaImage and NRRD."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from monai.data import MetaTensor

from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.volume import to_sitk

__all__ = ["write_itk"]

_FULL_BYTES: Final = 2**16
"""Free space below which a file that failed may be taken to have failed for want of it."""


def write_itk(volume: MetaTensor, path: str | Path) -> Path:
    """Write a volume as ITK does, compressed.

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K) or (3, I, J, K)
        One channel in real units, or three of colour.
    path : Path
        Ends in ``.mha`` or ``.nrrd``.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        The file cannot be written.
    """
    import SimpleITK as sitk

    path = Path(path)
    image = to_sitk(volume)
    with atomic_file(path) as partial:
        try:
            sitk.WriteImage(image, str(partial), useCompression=True)
        except RuntimeError as error:  # ITK does not say what kind of failure it was
            if shutil.disk_usage(path.parent).free < _FULL_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise OSError(str(error).strip().splitlines()[-1]) from error
    return path
