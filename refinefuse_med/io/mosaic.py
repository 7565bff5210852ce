"""Siemens mosaics: the slices of a volume as tiles of one image.

The position in the header is that of the mosaic's first pixel, as if the whole mosaic lay at the
place of its middle; where the slices lie, and how many there are, stands in the maker's CSA header.

Source: https://nipy.org/nibabel/dicom/dicom_mosaic.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from pydicom import dcmread

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io.elements import integer, quiet
from refinefuse_med.io.geometry import Frame
from refinefuse_med.io.headers import DicomFile

__all__ = ["mosaic_frames"]

_CSA: Final = (0x0029, "SIEMENS CSA HEADER", 0x10)


def mosaic_frames(
    files: Sequence[DicomFile], frames: Sequence[Frame]
) -> tuple[tuple[Frame, ...], tuple[int, int]]:
    """Divide mosaics into their slices.

    Parameters
    ----------
    files : sequence of DicomFile
    frames : sequence of Frame
        One a file, as its header tells.

    Returns
    -------
    frames : tuple of Frame
        One a slice, each with its `tile`.
    size : tuple of int
        Columns and rows of a slice.

    Raises
    ------
    InputError
        A file without the maker's header, or whose image is no square of tiles.
    """
    slices: list[Frame] = []
    size = (0, 0)
    for file, frame in zip(files, frames, strict=True):
        found, size = _tiles(file, frame)
        slices += found
    return tuple(slices), size


def _tiles(file: DicomFile, frame: Frame) -> tuple[Iterator[Frame], tuple[int, int]]:
    count, normal = _layout(file)
    across = math.ceil(math.sqrt(count))
    columns, left = divmod(integer(file.header, "Columns"), across)
    rows, over = divmod(integer(file.header, "Rows"), across)
    if left or over or not columns or not rows:
        raise InputError(f"a Siemens mosaic of {count} slices that are no tiles of it")
    if not frame.thickness_mm:
        raise GeometryError("a Siemens mosaic without SpacingBetweenSlices")
    # The first slice lies where a mosaic's first pixel would, were it as small as one tile.
    half = np.array([columns, rows]) * (across - 1) / 2 * np.array(frame.spacing_mm)
    axes = frame.orientation.reshape(2, 3)
    origin = frame.position_lps + half @ axes
    if abs(abs(normal @ np.cross(*axes)) - 1) > 1e-2:
        raise GeometryError("a Siemens mosaic whose slices are not stacked along their normal")
    step = normal * frame.thickness_mm
    tiles = (
        replace(
            frame,
            position_lps=origin + number * step,
            tile=(number // across * rows, number % across * columns),
        )
        for number in range(count)
    )
    return tiles, (columns, rows)


def _layout(file: DicomFile) -> tuple[int, Any]:
    """Number of slices and the direction that they are stacked along, from the CSA header."""
    try:
        with quiet():
            from nibabel.nicom import csareader

            dataset = dcmread(
                file.path, stop_before_pixels=True, specific_tags=[0x00290010, 0x00291010]
            )
            block = dataset.private_block(_CSA[0], _CSA[1])
            tags = csareader.read(block[_CSA[2]].value)["tags"]
        (count,) = tags["NumberOfImagesInMosaic"]["items"]
        normal = np.array(tags["SliceNormalVector"]["items"], dtype=np.float64)
        if not (1 <= int(count) <= 10_000 and normal.shape == (3,) and np.isfinite(normal).all()):
            raise ValueError(count)
    except Exception as error:  # a private format, which anonymising often damages
        raise InputError(
            "Siemens mosaic without the maker's header (0029,1010) that tells its slices",
            where=file.base_name,
            hint="get the original file, or convert it with dcm2niix where it was made",
        ) from error
    return int(count), normal
