"""The stored pixels of a DICOM file."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import JPEGExtended12Bit

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import numbers, quiet
from refinefuse_med.io.headers import DicomFile, read_dataset

_DECODERS: Final = {JPEGExtended12Bit: "12 bits need: pip install refinefuse-med[gpl-codecs]"}
"""What brings a decoder that is not among the hard dependencies."""

__all__ = ["images", "same_image"]


def images(dataset: Dataset, base_name: str) -> Iterator[NDArray[Any]]:
    """Decode the images of a file in turn, each of shape (rows, columns), as stored.

    Raises
    ------
    InputError
        No decoder here can decode it; `base_name` is what to call the file.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        with quiet():
            yield from iter_pixels(dataset, raw=True)
    except Exception as error:  # each decoder raises its own kinds
        raise InputError(
            f"the pixel data ({syntax.name}) cannot be decoded: damaged, or no decoder for it",
            where=base_name,
            hint=_DECODERS.get(syntax, "convert it to an uncompressed file first"),
        ) from error


def same_image(one: DicomFile, other: DicomFile) -> bool:
    """Whether two files hold the same pixels at the same place, in whatever encoding."""
    if filecmp.cmp(one.path, other.path, shallow=False):
        return True
    if any(
        numbers(one.header, name) != numbers(other.header, name)
        for name in ("ImagePositionPatient", "RescaleSlope", "RescaleIntercept", "NumberOfFrames")
    ):
        return False
    pairs = zip(*(images(read_dataset(f), f.base_name) for f in (one, other)), strict=False)
    return all(np.array_equal(first, second) for first, second in pairs)
