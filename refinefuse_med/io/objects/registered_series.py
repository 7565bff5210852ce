"""Writing the registered functional volume as DICOM, in its own units.

PET, CT and NM become objects of their own class, with what their headers say of the tracer
and the acquisition, so that a viewer measures SUV and HU in them. What has no such headers
(a NIfTI file) becomes a Secondary Capture with a modality LUT and a real world value mapping.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from monai.data import MetaTensor
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    NuclearMedicineImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

from refinefuse_med import __version__
from refinefuse_med.io.objects.codes import real_world_mapping
from refinefuse_med.io.objects.ct import as_ct
from refinefuse_med.io.objects.derived import derive_series, derive_study
from refinefuse_med.io.objects.nuclear_medicine import as_nuclear_medicine
from refinefuse_med.io.objects.pet import as_pet, can_be_pet
from refinefuse_med.io.objects.references import list_references, source_images
from refinefuse_med.io.objects.slices import (
    make_folder,
    save_instance,
    set_pixels,
    show,
    write_slices,
)
from refinefuse_med.volume import Keys, SourceHeader, get_meta, grid_of, modality_of, source_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["write_registered_series"]

_SERIES_OFFSET: Final = 2
_STORED_MAX: Final = 2**15 - 1


def write_registered_series(
    volume: MetaTensor,
    source: SourceHeader,
    folder: str | Path,
    *,
    description: str = "RefineFuse registered",
    window: tuple[float, float] | None = None,
    functional: SourceHeader | None = None,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    study: Dataset | None = None,
) -> list[Path]:
    """Write the functional volume, resampled on the anatomical grid, as a derived series.

    Parameters
    ----------
    volume : MetaTensor, shape (1, I, J, K)
        In real units. Stored in 16 bits: HU as integers,
        anything else in steps of 1/32767 of the largest magnitude.
    source : SourceHeader
        Of the anatomical volume: gives patient, study and frame of reference.
    folder : Path
        Gets ``0001.dcm`` and so on, in the order of K; that alone, of many frames, for NM.
    description : str
        Series Description.
    window : (float, float), optional
        Low and high to show at first, in the volume's units; by default all there is.
    functional : SourceHeader, optional
        Of the functional volume as it was acquired; that which `volume` has by default.
    matrix_fixed_to_moving_lps : array, shape (4, 4), optional
        Says which slices of the functional series each slice was made from.
    study : Dataset, optional
        From `refinefuse_med.io.objects.derived.derive_study`, for series that share one study.

    Returns
    -------
    list of Path
        The files, in the order of K.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written.
    """
    functional, grid = functional or source_of(volume), grid_of(volume)
    grid.require_orthogonal()
    sop_class = _sop_class(functional)
    series = derive_series(
        derive_study(source, volume) if study is None else study,
        sop_class_uid=sop_class,
        modality=modality_of(volume),
        description=description,
        derivation=f"Registered to the related series and resampled by RefineFuse-Med "
        f"{__version__}",
        offset=_SERIES_OFFSET,
        code=codes.DCM.SpatialResampling,
        sources=(source, functional),
    )
    units = get_meta(volume, Keys.UNITS) or "a.u."
    values = volume.as_tensor()[0].cpu().numpy().transpose(2, 1, 0)
    stored = _store(series, values, units)
    show(series, window or (float(values.min()), float(values.max())))
    series.RealWorldValueMappingSequence = [
        real_world_mapping(units, float(str(series.RescaleSlope)), -_STORED_MAX - 1, _STORED_MAX)
    ]
    series_of = (source, functional)
    sources = source_images(grid, source, functional, matrix_fixed_to_moving_lps)
    if sop_class == NuclearMedicineImageStorage:
        backwards = as_nuclear_medicine(series, functional.datasets[0], grid)
        sources.add_all_to(series)
        if sources.first is not None:
            list_references(series, series_of)
        set_pixels(series, stored[::-1] if backwards else stored)
        return [save_instance(series, make_folder(folder) / "0001.dcm")]
    if sop_class == PositronEmissionTomographyImageStorage:
        as_pet(series, functional.datasets[0], units, slices=len(stored))
    elif sop_class == CTImageStorage:
        as_ct(series, functional.datasets[0])
    else:
        _as_secondary_capture(series)
    return write_slices(series, grid, stored, folder, sources=sources, series_of=series_of)


def _sop_class(functional: SourceHeader) -> str:
    headers = functional.datasets
    classes = {header.get("SOPClassUID") for header in headers}
    if classes in ({CTImageStorage}, {EnhancedCTImageStorage}):
        return CTImageStorage
    if classes == {NuclearMedicineImageStorage}:
        return NuclearMedicineImageStorage
    if classes == {PositronEmissionTomographyImageStorage} and can_be_pet(headers[0]):
        return PositronEmissionTomographyImageStorage
    return SecondaryCaptureImageStorage


def _store(series: Dataset, values: NDArray[np.float32], units: str) -> NDArray[np.int16]:
    largest = float(np.abs(values).max())
    step = 1.0 if units == "HU" else (largest or 1.0) / _STORED_MAX
    # As the file will say it, in its 16 characters.
    slope = DSfloat(step, auto_format=True)
    series.RescaleSlope = slope
    series.RescaleIntercept = 0
    series.RescaleType = "HU" if units == "HU" else "US"
    stored = np.clip(np.rint(values / float(str(slope))), -_STORED_MAX - 1, _STORED_MAX)
    series.PhotometricInterpretation = "MONOCHROME2"
    series.SamplesPerPixel = 1
    series.Rows, series.Columns = values.shape[1:]
    series.BitsAllocated = series.BitsStored = 16
    series.HighBit = 15
    series.PixelRepresentation = 1
    return np.ascontiguousarray(stored).astype("<i2")


def _as_secondary_capture(series: Dataset) -> None:
    series.ImageType = ["DERIVED", "SECONDARY"]
    series.ConversionType = "WSD"
