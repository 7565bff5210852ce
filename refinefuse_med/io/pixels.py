"""The stored pixels of a DICOM file."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
)

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import numbers, quiet, text
from refinefuse_med.io.headers import DicomFile, read_dataset
from refinefuse_med.io.native import native_pixels

_DECODERS: Final = {JPEGExtended12Bit: "12 bits need: pip install refinefuse-med[gpl-codecs]"}
"""What brings a decoder that is not among the hard dependencies."""

_PREFERRED: Final = {
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg"),
    **dict.fromkeys(JPEGLSTransferSyntaxes, "pyjpegls"),
    JPEGBaseline8Bit: "pillow",
}
"""Decoders that raise an error where the data are damaged; gdcm ends the process."""

__all__ = ["Header", "images", "opened", "same_image"]

Header = Callable[[], Dataset]
"""Every element of a file but its pixels; parsed when it is asked for, since few ask."""


@contextmanager
def opened(
    file: DicomFile, indices: Sequence[int], *, colour: bool = False
) -> Iterator[tuple[Iterator[NDArray[Any]], Header]]:
    """Open a file for its images, as `images` gives them, and its header.

    Raises
    ------
    InputError
        The file cannot be read (any more), or no decoder here can decode it.
    """
    try:
        with file.path.open("rb") as stream:
            plain = None if colour else native_pixels(file, stream)
            if plain is not None:
                yield plain.frames(stream, indices), partial(read_dataset, file, plain.header)
                return
    except OSError as error:
        raise InputError("cannot be read any more", where=file.base_name) from error
    dataset = read_dataset(file)
    yield images(dataset, file.base_name, indices, colour=colour), lambda: dataset
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            del dataset[keyword]


def images(
    dataset: Dataset,
    base_name: str,
    indices: Sequence[int] | None = None,
    *,
    colour: bool = False,
) -> Iterator[NDArray[Any]]:
    """Decode images of a file, each of shape (rows, columns[, samples]), as stored.

    Parameters
    ----------
    dataset : Dataset
        The whole file.
    base_name : str
        What to call the file.
    indices : sequence of int, optional
        Which frames, in this order; all of them in turn by default.
    colour : bool
        As RGB of 8 bits, whatever they are stored as.

    Raises
    ------
    InputError
        No decoder here can decode it.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        with quiet():
            for image in iter_pixels(
                dataset,
                raw=not colour,
                indices=indices,
                decoding_plugin=_PREFERRED.get(syntax, ""),
            ):
                yield _rgb(image, dataset) if colour else image
    except NotImplementedError as error:
        raise InputError(
            f"no decoder is known for its pixel data ({syntax.name})",
            where=base_name,
            hint="convert it to an uncompressed file first",
        ) from error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # each decoder raises its own kinds, those in Rust panics
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


def _rgb(image: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Colours of 8 bits, shape (rows, columns, 3); palettes have 8 or 16 (C.7.6.3.1.6)."""
    if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        image = apply_color_lut(image, dataset)
    if image.dtype == np.uint16:
        image = image >> 8
    rgb: NDArray[np.uint8] = image[..., :3].astype(np.uint8)
    return rgb
