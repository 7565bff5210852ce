"""Slabs of a pair: what is worked on slab by slab takes little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

    from refinefuse_med.config import ColourConfig
    from refinefuse_med.results import RegisteredPair

__all__ = ["Slab", "explicit_windows", "slab_of"]


class Slab(NamedTuple):
    """A part of both scans of a pair, shape (1, I, J, K), and of the field of view (I, J, K)."""

    fixed: MetaTensor
    registered: MetaTensor
    field_of_view: torch.Tensor


def slab_of(pair: RegisteredPair, axis: int, start: int, count: int) -> Slab:
    """`count` slices across an axis of the volumes, from `start` on; no voxel is copied."""
    return Slab(
        _part(pair.fixed, axis, start, count),
        _part(pair.registered, axis, start, count),
        pair.field_of_view.narrow(axis, start, count),
    )


def explicit_windows(pair: RegisteredPair, config: ColourConfig) -> ColourConfig:
    """The configuration with the windows that it comes to on the whole volumes."""
    from refinefuse_med.pipeline import windows_of

    windows = windows_of(pair.fixed, pair.registered, pair.field_of_view, config)
    return config.model_copy(update={f"{role}_window": w for role, w in windows.items()})


def _part(volume: MetaTensor, axis: int, start: int, count: int) -> MetaTensor:
    from refinefuse_med.volume import Grid, grid_of, like

    grid = grid_of(volume)
    affine = grid.affine_ras.copy()
    affine[:3, 3] += affine[:3, axis] * start
    shape = list(grid.shape)
    shape[axis] = count
    part = volume.as_tensor().narrow(axis + 1, start, count)
    return like(volume, part, Grid((shape[0], shape[1], shape[2]), affine))
