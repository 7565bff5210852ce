"""Uncompressed pixel data, taken straight from their place in the file.

Most scans are stored as they are (PS3.5 section 8.1.1). Where nothing about them is special, their
bytes are the pixels, and the header need not be parsed again to reach them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from refinefuse_med.io.elements import integer, text
from refinefuse_med.io.headers import DicomFile

__all__ = ["NativePixels", "native_pixels"]

_TAG: Final = b"\xe0\x7f\x10\x00"
_VRS: Final = (b"OB", b"OW")
_TYPES: Final = {(bits, sign): f"<{'iu'[sign == 0]}{bits // 8}"
                 for bits in (8, 16, 32) for sign in (0, 1)}  # fmt: skip


@dataclass(frozen=True)
class NativePixels:
    """Where the frames of a file lie, and how to read them.

    Attributes
    ----------
    header : bytes
        The file up to its pixel data.
    start : int
        Position of the first frame.
    shape : tuple of int
        Rows and columns.
    kind : str
        Type of a stored value, as numpy writes it.
    unused_bits : int
        High bits that are no part of a value, and may hold an overlay.
    """

    header: bytes
    start: int
    shape: tuple[int, int]
    kind: str
    unused_bits: int

    def frames(self, stream: BinaryIO, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Yield frames of shape (rows, columns), in the given order; fewer where the file ends."""
        size = self.shape[0] * self.shape[1] * np.dtype(self.kind).itemsize
        for index in indices:
            stream.seek(self.start + index * size)
            held = stream.read(size)
            if len(held) < size:
                return
            image = np.frombuffer(held, self.kind).reshape(self.shape)
            if self.unused_bits:
                # The sign comes back with the shift to the right.
                image = (image << self.unused_bits) >> self.unused_bits
            yield image


def native_pixels(file: DicomFile, stream: BinaryIO) -> NativePixels | None:
    """Find the pixels of an open file; None where they are anything but plain numbers.

    What is not plain (compressed, in colour, packed bits, big endian, floating, of odd length) is
    left to pydicom, and so is the reason why it cannot be read.
    """
    header = file.header
    syntax = header.file_meta.TransferSyntaxUID
    explicit = syntax == ExplicitVRLittleEndian
    if not explicit and syntax != ImplicitVRLittleEndian:
        return None
    allocated, stored = integer(header, "BitsAllocated"), integer(header, "BitsStored")
    kind = _TYPES.get((allocated, integer(header, "PixelRepresentation", -1)))
    shape = integer(header, "Rows"), integer(header, "Columns")
    if (
        kind is None
        or not 0 < stored <= allocated
        or integer(header, "SamplesPerPixel") != 1
        or not text(header, "PhotometricInterpretation").startswith("MONOCHROME")
        or min(shape) < 1
    ):
        return None
    before = stream.read(file.pixels_at)
    start = stream.read(12 if explicit else 8)
    length = int.from_bytes(start[-4:], "little")
    frames = max(1, integer(header, "NumberOfFrames", 1))
    needed = frames * shape[0] * shape[1] * allocated // 8
    plain = start[:4] == _TAG and (not explicit or start[4:6] in _VRS)
    if not plain or not needed <= length <= needed + 1:
        return None
    return NativePixels(before, file.pixels_at + len(start), shape, kind, allocated - stored)
