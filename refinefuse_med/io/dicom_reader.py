"""Read the pixels of a planned DICOM volume, one image at a time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset

from refinefuse_med.errors import InputError
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.io.dicom_plan import Plan
from refinefuse_med.io.elements import integer
from refinefuse_med.io.geometry import upright
from refinefuse_med.io.headers import read_dataset
from refinefuse_med.io.pixels import images
from refinefuse_med.io.values import AIR_HU
from refinefuse_med.volume import SourceHeader, make_volume

__all__ = ["read_plan"]


def read_plan(
    plan: Plan, path: Path, warnings: tuple[str, ...] = (), modality: str | None = None
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

    Returns
    -------
    MetaTensor, shape (1, I, J, K), float32
        In the units of ``plan.scale``.

    Raises
    ------
    InputError
        The pixels of a file cannot be decoded, or are not those its header promises.
    """
    data = np.empty(plan.shape, dtype=np.float32)
    header = plan.stack.header
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    planes: dict[int, dict[int, int]] = defaultdict(dict)
    for k, frame in enumerate(plan.frames):
        planes[frame.file][frame.index] = k
    headers: dict[int, Dataset] = {}
    padded = 0
    for number, wanted in planes.items():
        file = plan.files[number]
        dataset = read_dataset(file)
        for index, stored in enumerate(images(dataset, file.base_name)):
            if index not in wanted:
                continue
            if stored.shape != (rows, columns):
                raise InputError(
                    f"image of {stored.shape}, not {rows} x {columns}", where=file.base_name
                )
            k = wanted.pop(index)
            values, count = plan.scale.real(stored, plan.frames[k], file.header)
            plane = values.T
            if plan.shifts is not None:
                plane = upright(plane, plan.shifts[k], plan.shape[:2], plan.scale.background)
            data[:, :, k] = plane
            padded += count
        if wanted:
            raise InputError(f"{len(wanted)} frames are missing", where=file.base_name)
        headers[number] = _without_pixels(dataset)
    notes = [*warnings, *plan.warnings]
    if padded:
        notes.append(f"{padded} padding voxels were set to {AIR_HU:g} HU")
    # A multi-frame file has one header for all its planes.
    order = dict.fromkeys(frame.file for frame in plan.frames)
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
            datasets=tuple(headers[number] for number in order),
            warnings=tuple(notes),
        ),
    )


def _without_pixels(dataset: Dataset) -> Dataset:
    for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            del dataset[keyword]
    return dataset
