"""Load a volume from NIfTI, a DICOM folder, file or zip."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from refinefuse_med.io import load_volume

__all__ = ["LoadVolume", "LoadVolumeD", "LoadVolumeDict", "LoadVolumed"]


_Role = Literal["anatomical", "functional"]
_ROLES: dict[Hashable, _Role] = {"anatomical": "anatomical", "functional": "functional"}


class LoadVolume(Transform):
    """Load a volume: shape (1, I, J, K), float32, real units, RAS affine.

    Parameters
    ----------
    role : {"anatomical", "functional"}, optional
        Which series is preferred where a folder holds several.
    modality : str, optional
        DICOM modality code, for files that do not say.
    """

    def __init__(
        self,
        role: _Role | None = None,
        modality: str | None = None,
    ) -> None:
        self.role = role
        self.modality = modality

    def __call__(self, path: str | Path) -> MetaTensor:
        """Read the volume at `path`."""
        return load_volume(path, role=self.role, modality=self.modality)


class LoadVolumed(MapTransform):
    """Dictionary form of `LoadVolume`.

    A key named ``anatomical`` or ``functional`` prefers a series of that role.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modality: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.modality = modality

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its volume."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            loaded[key] = LoadVolume(_ROLES.get(key), self.modality)(loaded[key])
        return loaded


LoadVolumeD = LoadVolumeDict = LoadVolumed
