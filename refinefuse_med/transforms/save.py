"""Write fused volumes as NIfTI or DICOM."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, ensure_tuple

from refinefuse_med import io
from refinefuse_med.config import OutputFormat
from refinefuse_med.transforms.metadata import require_geometry
from refinefuse_med.volume import source_of

__all__ = ["SaveFused", "SaveFusedD", "SaveFusedDict", "SaveFusedd"]


class SaveFused(Transform):
    """Write a volume into a folder, whole or not at all.

    Parameters
    ----------
    output_dir : path
        Gets ``fused.nii.gz``, or ``dicom/fused/*.dcm``; in a folder below, where the call
        names one.
    format : {"nifti", "dicom"}
        DICOM holds pictures alone: colour, or grey in [0, 1].
    if_exists : {"fail", "skip", "overwrite"}
        What to do where the folder is there already.
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012  (MONAI's form)

    def __init__(
        self,
        output_dir: str | Path,
        format: OutputFormat = "nifti",
        if_exists: Literal["fail", "skip", "overwrite"] = "fail",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.format = format
        self.if_exists = if_exists

    def __call__(self, fused: MetaTensor, name: str = "") -> MetaTensor:
        """Write `fused` into ``output_dir/name``, and give it on.

        Raises
        ------
        OutputError
            The folder exists, or cannot be written.
        """
        self.write({"fused": fused}, name)
        return fused

    def write(
        self,
        volumes: Mapping[str, MetaTensor],
        name: str = "",
        records: Mapping[str, Any] | None = None,
    ) -> None:
        """Write volumes, and records as JSON, into one folder, each under its name."""
        target = io.AtomicFolder(self.output_dir / name, self.if_exists)
        if not target.check():
            return
        with target as folder:
            for stem, volume in volumes.items():
                if self.format == "nifti":
                    io.write_nifti(require_geometry(volume), folder / f"{stem}.nii.gz")
                else:
                    source = source_of(require_geometry(volume))
                    io.write_secondary_capture(volume, source, folder / "dicom" / stem)
            for stem, record in (records or {}).items():
                io.write_json(_plain(record), folder / f"{stem}.json")


class SaveFusedd(MapTransform):
    """Dictionary form of `SaveFused`: the volumes of all keys in one folder, each in
    ``KEY.nii.gz`` or ``dicom/KEY/*.dcm``, below ``data[name_key]`` where that is given.

    Parameters
    ----------
    keys : key or sequence of keys
        Of volumes.
    output_dir, format, if_exists
        As of `SaveFused`.
    name_key : str, optional
        Of the folder's name, where several subjects pass.
    record_keys : sequence of keys
        What `CoRegisterd` tells of a registration, written as ``KEY.json``.
    """

    backend = SaveFused.backend

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path = ".",
        format: OutputFormat = "nifti",
        if_exists: Literal["fail", "skip", "overwrite"] = "fail",
        name_key: str | None = None,
        record_keys: KeysCollection = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.save = SaveFused(output_dir, format, if_exists)
        self.name_key = name_key
        self.record_keys = ensure_tuple(record_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write each key's volume."""
        written = dict(data)
        name = "" if self.name_key is None else str(written[self.name_key])
        volumes = {str(key): written[key] for key in self.key_iterator(written)}
        records = {
            str(key): written[key]
            for key in self.record_keys
            if key in written or not self.allow_missing_keys
        }
        self.save.write(volumes, name, records)
        return written


def _plain(record: Any) -> Any:
    """Fit for JSON: tensors as lists, and null for what was not measured."""
    if isinstance(record, Mapping):
        return {str(key): _plain(value) for key, value in record.items()}
    if isinstance(record, (torch.Tensor, np.ndarray)):
        return record.tolist()
    return None if isinstance(record, float) and math.isnan(record) else record


SaveFusedD = SaveFusedDict = SaveFusedd
