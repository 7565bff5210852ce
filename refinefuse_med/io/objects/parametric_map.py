"""Writing a volume of real numbers as a Parametric Map (PS3.3 A.75): float32, nothing rounded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ParametricMapStorage

from refinefuse_med import __version__
from refinefuse_med.io.objects.codes import unit_of
from refinefuse_med.io.objects.derived import derive_series, derive_study
from refinefuse_med.io.objects.framed import complete, framed_arguments
from refinefuse_med.io.objects.references import (
    source_images,
)
from refinefuse_med.io.objects.slices import save_instance
from refinefuse_med.io.objects.uids import new_uid
from refinefuse_med.volume import Grid, Keys, SourceHeader, get_meta, grid_of, modality_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CONTRIBUTION", "FUNCTIONAL", "Content", "write_parametric_map"]


@dataclass(frozen=True)
class Content:
    """What the numbers of a map are.

    Attributes
    ----------
    description : str
        Series Description.
    label : str
        Content Label: capital letters and underscores.
    derivation : str
        How the numbers came about.
    code : Code
        The same, coded (PS3.16 CID 7203).
    offset : int
        As of `derive_series`.
    """

    description: str
    label: str
    derivation: str
    code: Code
    offset: int


FUNCTIONAL: Final = Content(
    "RefineFuse registered (quantitative)",
    "REGISTERED",
    "Registered to the related series and resampled",
    codes.DCM.SpatialResampling,
    2,
)
CONTRIBUTION: Final = Content(
    "RefineFuse share of the functional image",
    "CONTRIBUTION",
    "Part of the fused brightness that comes from the functional image, 0 to 1",
    codes.DCM.PixelByPixelDivision,
    5,
)


def write_parametric_map(
    volume: MetaTensor,
    source: SourceHeader,
    path: str | Path,
    content: Content,
    *,
    window: tuple[float, float] | None = None,
    functional: SourceHeader | None = None,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    study: Dataset | None = None,
) -> Path:
    """Write one multi-frame object with the values as they are.

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K), float32
        On the anatomical grid, in the units that its metadata names.
    source : SourceHeader
        Of the anatomical volume: gives patient, study and frame of reference.
    path : Path
        A DICOM file.
    content : Content
        What the numbers are.
    window : (float, float), optional
        Low and high to show at first; by default all there is.
    functional, matrix_fixed_to_moving_lps, study
        As in `refinefuse_med.io.write_secondary_capture`.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        The file cannot be written.
    """
    grid = grid_of(volume)
    grid.require_orthogonal()
    functional = functional or SourceHeader("array")
    series = derive_series(
        derive_study(source, volume) if study is None else study,
        sop_class_uid=ParametricMapStorage,
        modality=modality_of(volume),
        description=content.description,
        derivation=f"{content.derivation} by RefineFuse-Med {__version__}",
        offset=content.offset,
        code=content.code,
        sources=[source, functional],
    )
    series.SOPInstanceUID = new_uid(series.SeriesInstanceUID, 0)
    values = volume.as_tensor()[0].cpu().numpy().transpose(2, 1, 0)
    values = np.ascontiguousarray(values, dtype=np.float32)
    units = get_meta(volume, Keys.UNITS) or "a.u."
    instance = _build(values, grid, series, content, units, window)
    sources = source_images(grid, source, functional, matrix_fixed_to_moving_lps)
    complete(instance, series, sources, content.code, (source, functional))
    return save_instance(instance, Path(path))


def _build(
    values: NDArray[np.float32],
    grid: Grid,
    series: Dataset,
    content: Content,
    units: str,
    window: tuple[float, float] | None,
) -> Any:
    import highdicom as hd

    low, high = window or (float(values.min()), float(values.max()))
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=content.label,
        lut_explanation=units,
        unit=unit_of(units),
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
    )
    return hd.pm.ParametricMap(
        pixel_array=values,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                window_center=(low + high) / 2,
                window_width=max(high - low, 1e-6),
                voi_lut_function="LINEAR_EXACT",
            )
        ],
        content_label=content.label,
        content_description=content.description,
        **framed_arguments(series, grid, values.shape[1:]),
    )
