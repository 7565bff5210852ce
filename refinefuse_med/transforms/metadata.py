"""What the transforms ask of a volume, and what they hand on beside its values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from monai.data import MetaTensor

from refinefuse_med.errors import InputError

__all__ = ["require_geometry", "with_history_of"]


def require_geometry(volume: Any) -> MetaTensor:
    """Return a volume that says where its voxels lie.

    Raises
    ------
    InputError
        A plain tensor or array: an affine is not guessed.
    """
    if not isinstance(volume, MetaTensor):
        raise InputError(
            f"a {type(volume).__name__} says nothing of where its voxels lie",
            hint="give a MetaTensor, such as LoadVolume or make_volume make",
        )
    return volume


def with_history_of(source: MetaTensor, result: MetaTensor) -> MetaTensor:
    """Give `result` the operations that were applied to `source`, so that it inverts as that."""
    result.applied_operations = deepcopy(source.applied_operations)
    return result
