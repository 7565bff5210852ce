"""Writing volumes in the formats of ITK: MetaImage and NRRD."""

from __future__ import annotations

from pathlib import Path

from monai.data import MetaTensor

from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.volume import to_sitk

__all__ = ["write_itk"]


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
        except RuntimeError as error:  # all that ITK says of a disk that is full
            raise OSError(str(error).strip().splitlines()[-1]) from error
    return path
