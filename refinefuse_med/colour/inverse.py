"""From a pseudo-colour picture back to the values that its palette showed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree

from refinefuse_med.colour.palettes import palette
from refinefuse_med.errors import InputError

if TYPE_CHECKING:
    from monai.data import MetaTensor

__all__ = ["uncolour"]

CLOSE: Final = 12.0
"""Distance in RGB of 8 bits within which a colour is one of the palette's (rounding, JPEG)."""

MAX_FOREIGN: Final = 0.02
"""Part of the voxels that may have other colours, such as letters burnt in."""


def uncolour(volume: MetaTensor, name: str) -> MetaTensor:
    """Read the values of a pseudo-colour volume from the palette that it was shown in.

    Parameters
    ----------
    volume : MetaTensor, shape (3, I, J, K), uint8
    name : str
        One of `refinefuse_med.colour.PALETTES`.

    Returns
    -------
    MetaTensor, shape (1, I, J, K), float32
        The place of each colour in the palette, 0 to 255, in arbitrary units. Where the palette
        has one colour several times, the middle of these places. It says so in its warnings.

    Raises
    ------
    InputError
        Not a colour picture, or of colours that the palette has not.
    UsageError
        There is no palette of this name.
    """
    from refinefuse_med.volume import grid_of, make_volume, modality_of, source_of

    where = source_of(volume).path or None
    if volume.shape[0] != 3:
        raise InputError("a palette was named, but this is no colour picture", where=where)
    colours = np.rint(palette(name).numpy() * 255)
    distinct, number = np.unique(colours, axis=0, return_inverse=True)
    places = np.bincount(number, np.arange(256)) / np.bincount(number)
    data = volume.as_tensor().cpu().numpy()
    values = np.empty(data.shape[1:], dtype=np.float32)
    tree = cKDTree(distinct)
    foreign = 0
    for k in range(data.shape[-1]):  # slice by slice: the search takes many times their memory
        apart, nearest = tree.query(np.moveaxis(data[..., k], 0, -1))
        values[..., k] = places[nearest]
        foreign += int((apart > CLOSE).sum())
    if (part := foreign / values.size) > MAX_FOREIGN:
        raise InputError(
            f"{part:.0%} of the voxels have colours that the palette {name} has not",
            where=where,
            hint="name another palette",
        )
    note = f"values read from the colours of the palette {name}: 0 to 255, in arbitrary units"
    meta = {key: volume.meta.get(key) for key in ("frame_of_reference_uid", "series_instance_uid")}
    return make_volume(
        values,
        grid_of(volume).affine_ras,
        modality=modality_of(volume),
        source=source_of(volume).with_warning(note),
        **meta,
    )
