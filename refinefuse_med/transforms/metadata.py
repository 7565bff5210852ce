"""What the transforms ask of a volume, and what they hand on beside its values."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import apply_pending

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.volume import grid_of, require_scalar

__all__ = ["require_geometry", "require_pair", "with_history_of"]


def require_geometry(volume: Any) -> MetaTensor:
    """Return a volume that says where its voxels lie, with what is pending of it done.

    MONAI's lazy transforms leave their work to the next one, which `Compose` sees to, and a
    direct call does not. Gradients end here.

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
    if volume.pending_operations:
        # Of a copy: what is pending is taken off the volume that it is applied to.
        volume, _ = apply_pending(volume.clone())
    return volume.detach() if volume.requires_grad else volume


def require_pair(
    anatomical: Any, functional: Any, field_of_view: torch.Tensor | None
) -> tuple[MetaTensor, MetaTensor, torch.Tensor]:
    """Check that two volumes can be fused; give them, and the field of view, bool (I, J, K).

    Raises
    ------
    InputError
        A volume that is constant, not finite, a single slice, or says not where it lies.
    GeometryError
        The two do not lie on one grid.
    """
    anatomical, functional = (require_geometry(volume) for volume in (anatomical, functional))
    for volume in (anatomical, functional):
        require_scalar(volume)
    if not grid_of(anatomical).same_as(grid_of(functional)):
        raise GeometryError(
            "the two volumes do not lie on one grid", hint="register them first (CoRegister)"
        )
    shape = tuple(anatomical.shape[1:])
    if field_of_view is None:
        return anatomical, functional, torch.ones(shape, dtype=torch.bool)
    mask = torch.as_tensor(field_of_view).as_subclass(torch.Tensor)
    return anatomical, functional, mask.reshape(shape).bool()


def with_history_of(source: MetaTensor, result: MetaTensor) -> MetaTensor:
    """Give `result` the operations that were applied to `source`, so that it inverts as that."""
    result.applied_operations = deepcopy(source.applied_operations)
    return result
