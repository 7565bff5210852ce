"""Write fused volumes as NIfTI or DICOM."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends

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

    def write(self, volumes: Mapping[str, MetaTensor], name: str = "") -> None:
        """Write volumes into one folder, each under its name."""
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


class SaveFusedd(MapTransform):
    """Dictionary form of `SaveFused`: the volumes of all keys in one folder, each in
    ``KEY.nii.gz`` or ``dicom/KEY/*.dcm``, below ``data[name_key]`` where that is given.
    """

    backend = SaveFused.backend

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
        name = "" if self.name_key is None else str(written[self.name_key])
        self.save.write({str(key): written[key] for key in self.key_iterator(written)}, name)
        return written


SaveFusedD = SaveFusedDict = SaveFusedd
