"""Take volumes through a transform that is known already: nothing is registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med import __version__, registration
from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.results import RESULT_SCHEMA
from refinefuse_med.volume import (
    Keys,
    describe,
    get_meta,
    grid_of,
    source_of,
)

__all__ = ["AppliedTransform", "apply_transform", "is_label_map"]

_MOST_LABELS: Final = 4096
_FEW_LABELS: Final = 4
"""So few values, the background among them, are labels however they lie."""
_SAME_NEIGHBOUR: Final = 0.6
"""Part of neighbours, one of them not background, that are equal: in pictures hardly any are."""


@dataclass(frozen=True, eq=False)
class AppliedTransform:
    """What `apply_transform` gives back.

    Attributes
    ----------
    volumes : tuple of MetaTensor
        On the fixed grid, in the order given; label maps hold integers.
    record : dict
        What ``result.json`` holds.
    """

    volumes: tuple[MetaTensor, ...]
    record: dict[str, Any] = field(repr=False)


def is_label_map(volume: MetaTensor) -> bool:
    """Whether values are labels: whole, not negative, and very few or alike over areas."""
    if volume.shape[0] != 1:
        return False
    values = volume.as_tensor()[0]
    if bool((values < 0).any()) or bool((values > _MOST_LABELS).any()):
        return False
    if bool((values != values.round()).any()):
        return False
    if 1 < len(values.unique()) <= _FEW_LABELS:
        return True
    same = counted = 0
    for axis in range(3):
        last = values.shape[axis] - 1
        one, other = values.narrow(axis, 1, last), values.narrow(axis, 0, last)
        labelled = (one > 0) | (other > 0)
        counted += int(labelled.sum())
        same += int((labelled & (one == other)).sum())
    return counted > 0 and same >= _SAME_NEIGHBOUR * counted


def apply_transform(
    fixed: MetaTensor,
    volumes: Sequence[MetaTensor],
    transform: NDArray[Any] | sitk.Transform,
    *,
    labels: bool | None = None,
    monitor: Monitor = SILENT,
) -> AppliedTransform:
    """Resample volumes of moving's frame on the grid of fixed.

    Parameters
    ----------
    fixed : MetaTensor, shape (C, I, J, K)
        Its grid alone counts.
    volumes : sequence of MetaTensor, shape (C, ...)
        Each on a grid of its own.
    transform : array, shape (4, 4), or SimpleITK.Transform
        Maps LPS mm points of fixed to moving.
    labels : bool, optional
        Whether the volumes are label maps, which take the nearest value; found out for each
        where not given, see `is_label_map`.
    monitor : Monitor
        Told of the stage ``apply``.

    Raises
    ------
    InputError
        A value that is not finite.
    GeometryError
        A sheared grid; or a volume that comes to lie wholly outside the fixed grid.
    CancelledError
        The user asked to stop.
    """
    made, entries = [], []
    for number, volume in enumerate(volumes):
        monitor.update("apply", number / len(volumes))
        where = source_of(volume).path or None
        if not bool(torch.isfinite(volume.as_tensor()).all()):
            raise InputError("voxels are NaN or infinite", where=where, hint="mend the file first")
        label = is_label_map(volume) if labels is None else labels
        brought, seen = registration.resample_to(
            volume,
            grid_of(fixed),
            transform,
            frame_of_reference_uid=get_meta(fixed, Keys.FRAME_OF_REFERENCE_UID),
            interpolation="nearest" if label else "linear",
            monitor=monitor,
        )
        if not bool(seen.any()):
            raise GeometryError(
                "lies wholly outside the fixed scan under this transform",
                where=where,
                hint="check that the transform is of these scans, and maps fixed to moving",
            )
        made.append(_whole(brought) if label else brought)
        entries.append(
            {
                "interpolation": "nearest" if label else "linear",
                "field_of_view": round(float(seen.float().mean()), 4),
            }
        )
    monitor.update("apply", 1.0)
    is_matrix = not isinstance(transform, sitk.Transform)
    record = {
        "schema": RESULT_SCHEMA,
        "version": __version__,
        "inputs": {
            "fixed": describe(fixed),
            **{_name(number): describe(volume) for number, volume in enumerate(volumes)},
        },
        "registration": {
            "method": "given",
            "matrix_fixed_to_moving_lps": transform.tolist() if is_matrix else None,
        },
        "applied": {_name(number): entry for number, entry in enumerate(entries)},
        "warnings": [
            f"{_name(number)}: {text}"
            for number, volume in enumerate(volumes)
            for text in source_of(volume).warnings
        ],
    }
    return AppliedTransform(tuple(made), record)


def _name(number: int) -> str:
    return "moving" if number == 0 else f"moving_{number + 1}"


def _whole(volume: MetaTensor) -> MetaTensor:
    """Labels as integers, so that other programs take them for labels."""
    high = float(volume.abs().max())
    if bool((volume != volume.round()).any()) or high >= 2**24:
        return volume
    narrow = high <= 255 and float(volume.min()) >= 0
    return volume.to(torch.uint8 if narrow else torch.int16 if high < 2**15 else torch.int32)
