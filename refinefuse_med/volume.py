"""The one volume type, its metadata keys, grids, and bridges to SimpleITK and nibabel.

A volume is a MONAI ``MetaTensor`` of shape (C, I, J, K), float32 unless said otherwise,
in real units, with an RAS affine in millimetres. What travels with it is in ``meta``
under the names of `Keys`; a value that is not known is absent, never None, so that
volumes collate in a ``DataLoader``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys, SpaceKeys

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.grid import LPS_FROM_RAS, ORTHOGONALITY_TOLERANCE, Affine, Grid

if TYPE_CHECKING:
    import nibabel as nib
    import SimpleITK as sitk
    from numpy.typing import ArrayLike
    from pydicom.dataset import Dataset

SourceFormat = Literal["dicom", "nifti", "array"]

__all__ = [
    "ORTHOGONALITY_TOLERANCE",
    "Grid",
    "Keys",
    "SourceHeader",
    "affine_lps",
    "affine_ras",
    "describe",
    "from_nibabel",
    "from_sitk",
    "get_meta",
    "grid_of",
    "like",
    "make_volume",
    "modality_of",
    "require_ras",
    "require_scalar",
    "source_of",
    "to_nibabel",
    "to_sitk",
    "with_frame_of_reference",
]


class Keys:
    """Names of the metadata that a volume carries in ``MetaTensor.meta``."""

    MODALITY: Final = "modality"
    """DICOM modality code: MR, CT, PT, NM; ``OT`` where unknown."""
    UNITS: Final = "units"
    """HU, SUVbw, Bq/ml, counts, or a.u. (arbitrary)."""
    FRAME_OF_REFERENCE_UID: Final = "frame_of_reference_uid"
    SERIES_INSTANCE_UID: Final = "series_instance_uid"
    SOURCE: Final = "source"
    """A `SourceHeader`: where the volume came from, its headers, and the reader's warnings."""


class SourceHeader(str):
    """Where a volume came from; as a text, its path.

    It is a text because MONAI collates and decollates texts as they are, and refuses other
    objects in ``meta``. It is read-only, so copies of a volume share it.

    Attributes
    ----------
    format : {"dicom", "nifti", "array"}
    path : str
        What the reader was given.
    datasets : tuple of pydicom.Dataset
        For DICOM: headers without pixel data, one a slice, in the order of the K axis
        (one alone for a multi-frame object). Empty otherwise. May be given as a callable that
        parses them, which is then called when they are first asked for.
    warnings : tuple of str
        What the reader had to assume or mend, in plain words.
    """

    format: SourceFormat  # type: ignore[assignment]  # str.format is of no use on a path
    warnings: tuple[str, ...]
    _datasets: tuple[Dataset, ...] | Callable[[], tuple[Dataset, ...]]

    def __new__(
        cls,
        format: SourceFormat,
        path: str = "",
        datasets: tuple[Dataset, ...] | Callable[[], tuple[Dataset, ...]] = (),
        warnings: tuple[str, ...] = (),
    ) -> SourceHeader:
        """See the attributes."""
        header = super().__new__(cls, path)
        header.format = format
        header._datasets = datasets
        header.warnings = warnings
        return header

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """See the attributes of the class."""
        if callable(self._datasets):
            self._datasets = self._datasets()
        return self._datasets

    @property
    def path(self) -> str:
        """What the reader was given."""
        return str(self)

    def __bool__(self) -> bool:
        # A header without a path is one all the same.
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        # As DICOM, and not as Python objects: caches are read back by safe unpicklers, such as
        # that of MONAI's PersistentDataset, and those know bytes but not pydicom.
        packed = tuple(_packed(header) for header in self.datasets)
        return _unpacked_header, (self.format, self.path, packed, self.warnings)

    def __copy__(self) -> SourceHeader:
        return self

    def __deepcopy__(self, memo: object) -> SourceHeader:
        return self

    def with_warning(self, warning: str) -> SourceHeader:
        """Return a copy with one more warning."""
        return SourceHeader(self.format, self.path, self._datasets, (*self.warnings, warning))


def _packed(header: Dataset) -> bytes | Dataset:
    from pydicom import Dataset, dcmwrite

    buffer = BytesIO()
    try:
        dcmwrite(buffer, Dataset(header), implicit_vr=False, little_endian=True)
    except (ValueError, TypeError, AttributeError, KeyError, OSError):
        return header  # too odd to be written again: it still crosses process borders
    return buffer.getvalue()


def _unpacked_header(
    format: SourceFormat,
    path: str,
    packed: tuple[bytes | Dataset, ...],
    warnings: tuple[str, ...],
) -> SourceHeader:
    from pydicom import dcmread

    headers = (dcmread(BytesIO(p), force=True) if isinstance(p, bytes) else p for p in packed)
    return SourceHeader(format, path, tuple(headers), warnings)


torch.serialization.add_safe_globals([_unpacked_header])


def make_volume(
    data: ArrayLike | torch.Tensor,
    affine_ras: ArrayLike,
    *,
    modality: str = "OT",
    units: str = "a.u.",
    frame_of_reference_uid: str | None = None,
    series_instance_uid: str | None = None,
    source: SourceHeader | None = None,
) -> MetaTensor:
    """Make a volume.

    Parameters
    ----------
    data : array, shape (I, J, K) or (C, I, J, K)
        Values in real units; floating types become float32, uint8 colour is kept.
    affine_ras : array, shape (4, 4)
        Voxel index to RAS millimetres.
    modality, units, frame_of_reference_uid, series_instance_uid, source
        See `Keys`.

    Raises
    ------
    InputError
        The shape is not that of a volume.
    GeometryError
        The affine is not finite or not invertible.
    """
    if isinstance(data, np.ndarray):
        data = np.require(data, requirements=["C", "W"])  # torch cannot share other memory
    tensor = torch.as_tensor(data)
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or 0 in tensor.shape:
        raise InputError(f"a volume has three axes, this has shape {tuple(tensor.shape)}")
    if tensor.dtype != torch.uint8:
        tensor = tensor.to(torch.float32)
    matrix = np.asarray(affine_ras, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise GeometryError("the affine is not a finite 4 x 4 matrix")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise GeometryError("the affine has no inverse (a voxel size of zero)")
    meta: dict[str, Any] = {
        Keys.MODALITY: modality,
        Keys.UNITS: units,
        Keys.SOURCE: source or SourceHeader("array"),
    }
    if frame_of_reference_uid:
        meta[Keys.FRAME_OF_REFERENCE_UID] = str(frame_of_reference_uid)
    if series_instance_uid:
        meta[Keys.SERIES_INSTANCE_UID] = str(series_instance_uid)
    return MetaTensor(tensor.contiguous(), affine=torch.as_tensor(matrix), meta=meta)


def affine_ras(volume: MetaTensor) -> Affine:
    """Voxel index to RAS mm, float64, shape (4, 4).

    Raises
    ------
    GeometryError
        The volume says that its affine leads to LPS.
    """
    require_ras(volume.meta)
    return np.asarray(volume.affine, dtype=np.float64)


def require_ras(meta: Mapping[str, Any]) -> None:
    """Raise `GeometryError` where MONAI's metadata say that the affine leads to LPS.

    Turned in silence, it would no longer fit the affines that MONAI's history of the volume holds.
    """
    if meta.get(MetaKeys.SPACE) == SpaceKeys.LPS:
        raise GeometryError(
            "the affine of a volume leads to LPS, not to RAS",
            hint="load it with affine_lps_to_ras=True, as MONAI's readers do by default",
        )


def affine_lps(volume: MetaTensor) -> Affine:
    """Voxel index to LPS mm (DICOM, ITK), float64, shape (4, 4)."""
    return LPS_FROM_RAS @ affine_ras(volume)


def grid_of(volume: MetaTensor) -> Grid:
    """The volume's grid."""
    i, j, k = volume.shape[-3:]
    return Grid((int(i), int(j), int(k)), affine_ras(volume))


def get_meta(volume: MetaTensor, key: str) -> str | None:
    """A text of the metadata, or None where it is not known."""
    value = volume.meta.get(key)
    return None if value is None else str(value)


def modality_of(volume: MetaTensor) -> str:
    """DICOM modality code; ``OT`` where unknown."""
    return get_meta(volume, Keys.MODALITY) or "OT"


def source_of(volume: MetaTensor) -> SourceHeader:
    """The volume's source header; an empty one where it has none."""
    source = volume.meta.get(Keys.SOURCE)
    return source if isinstance(source, SourceHeader) else SourceHeader("array")


def require_scalar(volume: MetaTensor, where: object = None) -> MetaTensor:
    """Check that a volume can be registered and fused, and return it.

    Raises
    ------
    InputError
        More than one channel, a single slice, values that are not finite, or constant.
    """
    where = where or source_of(volume).path or None
    if volume.ndim != 4 or volume.shape[0] != 1:
        raise InputError(
            f"expected one channel, found shape {tuple(volume.shape)}",
            where=where,
            hint="choose one frame or channel",
        )
    if min(volume.shape[1:]) < 2:
        raise InputError(
            "a single slice is not a volume", where=where, hint="use fuse-slices for pictures"
        )
    values = volume.as_tensor()
    if not bool(torch.isfinite(values).all()):
        count = int((~torch.isfinite(values)).sum())
        raise InputError(
            f"{count} voxels are NaN or infinite", where=where, hint="mend the file first"
        )
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"every voxel has the same value ({low:g})", where=where)
    return volume


def describe(volume: MetaTensor) -> dict[str, Any]:
    """The volume's entry in ``result.json``."""
    grid = grid_of(volume)
    return {
        "modality": modality_of(volume),
        "shape": list(grid.shape),
        "spacing_mm": [round(s, 6) for s in grid.spacing_mm],
        "orientation": grid.orientation,
        "frame_of_reference_uid": get_meta(volume, Keys.FRAME_OF_REFERENCE_UID),
        "series_instance_uid": get_meta(volume, Keys.SERIES_INSTANCE_UID),
        "units": get_meta(volume, Keys.UNITS),
    }


def _kept(meta: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        Keys.MODALITY,
        Keys.UNITS,
        Keys.FRAME_OF_REFERENCE_UID,
        Keys.SERIES_INSTANCE_UID,
        Keys.SOURCE,
    )
    return {name: meta[name] for name in names if name in meta}


def like(
    volume: MetaTensor, data: ArrayLike | torch.Tensor, grid: Grid | None = None
) -> MetaTensor:
    """New values with the metadata of `volume`, on its grid or on `grid`."""
    target = grid or grid_of(volume)
    return make_volume(data, target.affine_ras, **_kept(volume.meta))


def with_frame_of_reference(volume: MetaTensor, uid: str | None) -> MetaTensor:
    """Say in which frame of reference a volume lies from now on; None: that is not known."""
    volume.meta.pop(Keys.FRAME_OF_REFERENCE_UID, None)
    if uid:
        volume.meta[Keys.FRAME_OF_REFERENCE_UID] = uid
    return volume


def to_sitk(volume: MetaTensor) -> sitk.Image:
    """Convert to a SimpleITK image (LPS), values and geometry unchanged.

    One channel gives a scalar image, several a vector image.

    Raises
    ------
    GeometryError
        The affine is sheared, which an ITK image cannot hold.
    """
    import SimpleITK as sitk

    grid = grid_of(volume)
    grid.require_orthogonal(source_of(volume).path or None)
    array = volume.as_tensor().cpu().numpy()
    # ITK indexes (i, j, k); its NumPy view is (k, j, i[, c]).
    array = array[0].transpose(2, 1, 0) if array.shape[0] == 1 else array.transpose(3, 2, 1, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim == 4)
    lps = grid.affine_lps
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / np.asarray(grid.spacing_mm)).ravel().tolist())
    return image


def from_sitk(image: sitk.Image, **meta: Any) -> MetaTensor:
    """Convert a SimpleITK image (LPS) to a volume; `meta` as in `make_volume`."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    array = array.transpose(2, 1, 0) if array.ndim == 3 else array.transpose(3, 2, 1, 0)
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return make_volume(np.ascontiguousarray(array), LPS_FROM_RAS @ lps, **meta)


def to_nibabel(volume: MetaTensor, space: str = "scanner") -> nib.Nifti1Image:
    """Convert to a NIfTI image, values and affine unchanged; sform and qform both set.

    One channel gives a 3D image of the volume's type, three uint8 channels an RGB24 image.
    `space` is what nibabel calls the code of the two: scanner, aligned, talairach, mni, template.

    Raises
    ------
    InputError
        Neither one channel nor three of uint8.
    """
    import nibabel as nib

    array = volume.as_tensor().cpu().numpy()
    if array.shape[0] == 1:
        array = array[0]
    elif array.shape[0] == 3 and array.dtype == np.uint8:
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        array = np.ascontiguousarray(np.moveaxis(array, 0, -1)).view(rgb)[..., 0]
    else:
        raise InputError(f"cannot be a NIfTI image: {array.shape[0]} channels of {array.dtype}")
    matrix = affine_ras(volume)
    image = nib.Nifti1Image(array, matrix, dtype=array.dtype)
    image.set_sform(matrix, code=space)
    if grid_of(volume).is_orthogonal():
        image.set_qform(matrix, code=space)
    image.header.set_xyzt_units("mm")
    return image


def from_nibabel(image: nib.Nifti1Image, **meta: Any) -> MetaTensor:
    """Convert a 3D NIfTI image, grey or RGB24, to a volume; `meta` as in `make_volume`."""
    data = np.asanyarray(image.dataobj)
    if data.dtype.fields:
        data = np.stack([data[name] for name in ("R", "G", "B")])
    return make_volume(data, image.affine, **meta)
