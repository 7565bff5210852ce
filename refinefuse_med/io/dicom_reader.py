"""Read the pixels of a planned DICOM volume, one image at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from refinefuse_med.errors import InputError
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.io.dicom_plan import Plan
from refinefuse_med.io.limits import require_room
from refinefuse_med.io.pixels import Header, opened
from refinefuse_med.io.planes import fill
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.volume import SourceHeader, make_volume

__all__ = ["read_plan"]

MUST_REACH_HU: Final = -200.0
"""A CT shows air around the patient; one that never falls to this lacks its rescale."""


def read_plan(
    plan: Plan,
    path: Path,
    warnings: tuple[str, ...] = (),
    modality: str | None = None,
    monitor: Monitor = SILENT,
) -> MetaTensor:
    """Read a volume.

    Parameters
    ----------
    plan : Plan
        What to read.
    path : Path
        What the user gave; kept in the volume's `SourceHeader`.
    warnings : tuple of str
        Said before those of the plan.
    modality : str, optional
        Said by the user, where the files do not know it.
    monitor : Monitor
        Told how many images are read; asked whether to go on.

    Returns
    -------
    MetaTensor, shape (1, I, J, K), float32, or (3, I, J, K), uint8 for a colour picture
        In the units of ``plan.scale``.

    Raises
    ------
    InputError
        The pixels of a file cannot be decoded, or are not those its header promises.
    """
    require_room(plan.shape, 3 if plan.colour else 4, path)
    data = np.empty((3, *plan.shape) if plan.colour else plan.shape, _kind(plan))
    headers: dict[int, Header] = {}
    padded: list[int] = []
    planes = monitor.watch("reading", _planes(plan, headers, padded), len(plan.frames))
    fill(data, planes, plan.geometry, plan.scale.background)
    notes = [*warnings, *plan.warnings]
    if sum(padded):
        notes.append(
            f"{sum(padded)} padding voxels were set to {plan.scale.background:g} {plan.scale.units}"
        )
    if plan.scale.units == "HU" and data.min() > MUST_REACH_HU:
        notes.append(f"no value below {MUST_REACH_HU:g} HU: is the rescale of this CT right?")
    return make_volume(
        data,
        LPS_FROM_RAS @ plan.affine_lps,
        modality=modality or plan.scale.modality,
        units=plan.scale.units,
        frame_of_reference_uid=plan.frame_of_reference_uid,
        series_instance_uid=plan.stack.series_uid,
        source=SourceHeader(
            "dicom",
            str(path),
            datasets=cache(partial(_along_k, plan, headers)),
            warnings=tuple(notes),
        ),
    )


def _kind(plan: Plan) -> type[np.generic]:
    return np.uint8 if plan.colour else np.float32


def _planes(plan: Plan, headers: dict[int, Header], padded: list[int]) -> Iterator[NDArray[Any]]:
    """The images in the order of K, in real units; fills in headers and counts of padding."""
    columns, rows = plan.image_size
    for number, group in groupby(plan.frames, key=lambda frame: frame.file):
        file, frames = plan.files[number], list(group)
        tiled = frames[0].tile is not None
        indices = [frame.index for frame in (frames[:1] if tiled else frames)]
        with opened(file, indices, colour=plan.colour) as (decoded, header):
            stored = next(decoded, None) if tiled else None
            for frame in frames:
                image = stored if tiled else next(decoded, None)
                if image is None:
                    raise InputError("frames are missing from its pixel data", where=file.base_name)
                if frame.tile is not None:
                    top, left = frame.tile
                    image = image[top : top + rows, left : left + columns]
                if image.shape[:2] != (rows, columns):
                    raise InputError(
                        f"image of {image.shape[:2]}, not {rows} x {columns}", where=file.base_name
                    )
                if plan.colour:
                    yield image.transpose(2, 1, 0)
                    continue
                values, count = plan.scale.real(image, frame, file.header)
                padded.append(count)
                yield values.T
        headers[number] = header


def _along_k(plan: Plan, headers: Mapping[int, Header]) -> tuple[Dataset, ...]:
    """A header for each slice of the grid, or one for all of a multi-frame file."""
    parsed = {number: header() for number, header in headers.items()}
    order = [parsed[frame.file] for frame in plan.frames]
    if len(parsed) == 1:
        return (order[0],)
    if plan.geometry.places is None:
        return tuple(order)
    return tuple(order[round(place)] for place in plan.geometry.places)
