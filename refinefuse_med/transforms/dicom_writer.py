"""DICOM for MONAI's ``SaveImage``: a series with patient, study and place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from monai.config import NdarrayOrTensor, PathLike
from monai.data import ImageWriter, MetaTensor, image_writer, register_writer
from monai.transforms import SpatialResample
from monai.utils import convert_to_tensor

from refinefuse_med import io
from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.volume import Keys, make_volume, require_ras, source_of

__all__ = ["DicomWriter"]


class DicomWriter(ImageWriter):
    """Writes a fused picture as DICOM Secondary Capture slices, one file each.

    Registered for ``.dcm``: ``SaveImage(output_ext=".dcm")`` writes the folder that its file
    name would be without the suffix, whole or not at all. Patient, study and frame of
    reference are those of the headers that the volume carries. MONAI's own writers leave
    all of them out.

    Parameters
    ----------
    if_exists : {"fail", "skip", "overwrite"}
        What to do where the folder is there already.
    description : str
        Series Description.
    **kwargs
        ``output_dtype`` and ``scale``, which ``SaveImage`` gives, do not apply: colour is
        written in 8 bits a channel, grey in 16.
    """

    def __init__(
        self,
        if_exists: Literal["fail", "skip", "overwrite"] = "fail",
        description: str = "RefineFuse fused",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.if_exists = if_exists
        self.description = description

    def set_data_array(
        self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, **kwargs: Any
    ) -> None:
        """Take (3, I, J, K) of uint8, or (1, I, J, K) in [0, 1]."""
        data = convert_to_tensor(data_array, track_meta=False)
        self.data_obj = data[None] if channel_dim is None else data.movedim(channel_dim, 0)

    def set_metadata(
        self, meta_dict: Mapping[str, Any] | None, resample: bool = True, **options: Any
    ) -> None:
        """Take the affine and the headers; go back to ``original_affine`` where there is one."""
        meta = meta_dict or {}
        if "affine" not in meta:
            raise GeometryError("no affine: where the voxels lie is not known")
        require_ras(meta)
        affine = torch.as_tensor(meta["affine"], dtype=torch.float64)
        data: torch.Tensor = self.data_obj
        original = meta.get("original_affine")
        if resample and original is not None:
            back = SpatialResample(
                mode=options.get("mode", "bilinear"),
                padding_mode=options.get("padding_mode", "border"),
                dtype=options.get("dtype", torch.float64),
            )
            moved = back(
                MetaTensor(data, affine=affine),
                dst_affine=torch.as_tensor(original, dtype=torch.float64),
                spatial_size=meta.get("spatial_shape"),
            )
            affine = moved.affine
            moved = moved.as_tensor()
            data = moved if data.is_floating_point() else moved.round().to(data.dtype)
        given = {name: meta[name] for name in (Keys.FRAME_OF_REFERENCE_UID,) if name in meta}
        self.data_obj = make_volume(data, affine, source=meta.get(Keys.SOURCE), **given)

    def write(self, filename: PathLike, verbose: bool = True, **kwargs: Any) -> None:
        """Write the series into the folder ``filename`` without its suffix.

        Raises
        ------
        InputError
            Neither colour nor grey in [0, 1].
        OutputError
            The folder exists, or cannot be written.
        """
        super().write(filename, verbose)
        volume: MetaTensor = self.data_obj
        if volume.shape[0] == 1 and not 0 <= float(volume.min()) <= float(volume.max()) <= 1:
            raise InputError(
                "values outside [0, 1] are not those of a fused picture", hint="write them as NIfTI"
            )
        target = io.AtomicFolder(Path(filename).with_suffix(""), self.if_exists)
        if target.check():
            with target as folder:
                io.write_secondary_capture(
                    volume, source_of(volume), folder, description=self.description
                )


def _register() -> None:
    # MONAI fills its registry at the first look-up, and only where it is still empty.
    if not image_writer.SUPPORTED_WRITERS:
        image_writer.init()
    register_writer("dcm", DicomWriter)


_register()
