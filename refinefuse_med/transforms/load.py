"""Load a volume from NIfTI, a DICOM folder, file or zip."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, ensure_tuple_rep

from refinefuse_med.io import load_volume

__all__ = ["LoadVolume", "LoadVolumeD", "LoadVolumeDict", "LoadVolumed"]


Role = Literal["anatomical", "functional"]
_ROLES: dict[Hashable, Role] = {"anatomical": "anatomical", "functional": "functional"}


class LoadVolume(Transform):
    """Load a volume: shape (1, I, J, K), float32, real units, RAS affine.

    Parameters
    ----------
    role : {"anatomical", "functional"}, optional
        Which series is preferred where a folder holds several.
    modality : str, optional
        DICOM modality code, for files that do not say.
    series_uid : str, optional
        ``UID`` of the series, or ``UID#N`` where it holds several volumes.
    allow_gaps : bool
        Interpolate missing slices, which are refused otherwise.
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012  (MONAI's form)

    def __init__(
        self,
        role: Role | None = None,
        modality: str | None = None,
        series_uid: str | None = None,
        allow_gaps: bool = False,
    ) -> None:
        self.role = role
        self.modality = modality
        self.series_uid = series_uid
        self.allow_gaps = allow_gaps

    def __call__(self, path: str | Path) -> MetaTensor:
        """Read the volume at `path`."""
        return load_volume(
            path,
            role=self.role,
            modality=self.modality,
            series_uid=self.series_uid,
            allow_gaps=self.allow_gaps,
        )


class LoadVolumed(MapTransform):
    """Dictionary form of `LoadVolume`.

    Parameters
    ----------
    keys : key or sequence of keys
        Of paths.
    modality, role, series_uid : str or sequence of str, optional
        As of `LoadVolume`; one for all keys, or one for each. Without a role, a key named
        ``anatomical`` or ``functional`` prefers a series of that role.
    allow_gaps : bool
        As of `LoadVolume`.
    """

    backend = LoadVolume.backend

    def __init__(
        self,
        keys: KeysCollection,
        modality: str | Sequence[str | None] | None = None,
        role: Role | Sequence[Role | None] | None = None,
        allow_missing_keys: bool = False,
        *,
        series_uid: str | Sequence[str | None] | None = None,
        allow_gaps: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        given = (ensure_tuple_rep(each, len(self.keys)) for each in (role, modality, series_uid))
        self.loaders = [
            LoadVolume(role or _ROLES.get(key), modality, uid, allow_gaps)
            for key, role, modality, uid in zip(self.keys, *given, strict=True)
        ]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its volume."""
        loaded = dict(data)
        for key, load in self.key_iterator(loaded, self.loaders):
            loaded[key] = load(loaded[key])
        return loaded


LoadVolumeD = LoadVolumeDict = LoadVolumed
