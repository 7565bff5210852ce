"""What the transforms ask of a volume, and what they hand on beside its values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from monai.data import MetaTensor

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.volume import grid_of, require_scalar

__all__ = ["require_geometry", "require_pair", "with_history_of"]


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


def require_pair(
    anatomical: Any, functional: Any, field_of_view: torch.Tensor | None
) -> torch.Tensor:
    """Check that two volumes can be fused, and give the field of view, bool (I, J, K).

    Raises
    ------
    InputError
        A volume that is constant, not finite, a single slice, or says not where it lies.
    GeometryError
        The two do not lie on one grid.
    """
    for volume in (anatomical, functional):
        require_scalar(require_geometry(volume))
    if not grid_of(anatomical).same_as(grid_of(functional)):
        raise GeometryError(
            "the two volumes do not lie on one grid", hint="register them first (CoRegister)"
        )
    shape = tuple(anatomical.shape[1:])
    if field_of_view is None:
        return torch.ones(shape, dtype=torch.bool)
    mask = torch.as_tensor(field_of_view).as_subclass(torch.Tensor)
    return mask.reshape(shape).bool()


def with_history_of(source: MetaTensor, result: MetaTensor) -> MetaTensor:
    """Give `result` the operations that were applied to `source`, so that it inverts as that."""
    result.applied_operations = deepcopy(source.applied_operations)
    return result
