"""What a case of the corpus is: something a user may have, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import FileDataset

from refinefuse_med.volume import affine_lps, grid_of
from tests.io.corpus import Scan, value_at, write_scan

ROUNDING = 0.026
"""Half a stored step."""


@dataclass(frozen=True)
class Case:
    """One kind of input.

    Attributes
    ----------
    name : str
        What it is, as docs/robustness.md calls it.
    make : callable
        Writes it into an empty folder; gives back what to hand to the reader, if not the folder.
    says : str
        Part of the warning with which it is read, or of the error with which it is refused.
    refused : bool
    check : callable
        What must be true of the volume; that each value is in its place unless said otherwise.
    options : dict
        For `load_volume`.
    """

    name: str
    make: Callable[[Path], Path | Any]
    says: str = ""
    refused: bool = False
    check: Callable[[MetaTensor], None] = field(default=lambda volume: in_place(volume))
    options: dict[str, Any] = field(default_factory=dict)


def in_place(volume: MetaTensor, atol: float = ROUNDING, outside: float | None = None) -> None:
    """Ask each voxel's affine where it is, and compare its value with that of the place."""
    grid = grid_of(volume)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    lps = affine_lps(volume)
    places = index @ lps[:3, :3].T + lps[:3, 3]
    found, wanted = volume.numpy()[0], value_at(places)
    if outside is not None:
        inside = found > outside
        assert inside.mean() > 0.5
        found, wanted = found[inside], wanted[inside]
    np.testing.assert_allclose(found, wanted, atol=atol)


def series(
    change: Callable[[FileDataset, int], Any] | None = None, **scan: Any
) -> Callable[[Path], None]:
    """A classic series, each slice changed."""

    def make(folder: Path) -> None:
        write_scan(folder, Scan(**scan), change)

    return make


def tagged(**tags: Any) -> Callable[[Path], None]:
    """A classic MR series of which every slice has these elements; None takes one away."""

    def change(ds: FileDataset, k: int) -> None:
        for name, value in tags.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)

    return series(change)
