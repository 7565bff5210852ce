"""Write a fused volume as NIfTI or DICOM."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from refinefuse_med import io
from refinefuse_med.config import OutputFormat
from refinefuse_med.volume import source_of

__all__ = ["SaveFused", "SaveFusedD", "SaveFusedDict", "SaveFusedd"]


class SaveFused(Transform):
    """Write a volume into a folder, whole or not at all.

    Parameters
    ----------
    output_dir : path
        Holds one folder a volume: ``<name>/fused.nii.gz`` or ``<name>/dicom/fused/*.dcm``.
    format : {"nifti", "dicom"}
    if_exists : {"fail", "skip", "overwrite"}
    """

    def __init__(
        self,
        output_dir: str | Path,
        format: OutputFormat = "nifti",
        if_exists: Literal["fail", "skip", "overwrite"] = "fail",
    ) -> None:
        self.output_dir = Path(output_dir)
        self.format = format
        self.if_exists = if_exists

    def __call__(self, fused: MetaTensor, name: str = "fused") -> MetaTensor:
        """Write `fused`, and give it on.

        Raises
        ------
        OutputError
            The folder exists, or cannot be written.
        """
        with io.AtomicFolder(self.output_dir / name, self.if_exists) as folder:
            if self.format == "nifti":
                io.write_nifti(fused, folder / "fused.nii.gz")
            else:
                io.write_secondary_capture(fused, source_of(fused), folder / "dicom" / "fused")
        return fused


class SaveFusedd(MapTransform):
    """Dictionary form of `SaveFused`; each key is written into a folder of its name, below
    ``data[name_key]`` where that is given.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path = ".",
        format: OutputFormat = "nifti",
        if_exists: Literal["fail", "skip", "overwrite"] = "fail",
        name_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.save = SaveFused(output_dir, format, if_exists)
        self.name_key = name_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write each key's volume."""
        written = dict(data)
        for key in self.key_iterator(written):
            below = "" if self.name_key is None else f"{written[self.name_key]}/"
            self.save(written[key], f"{below}{key}")
        return written


SaveFusedD = SaveFusedDict = SaveFusedd
