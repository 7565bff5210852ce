"""Writing all DICOM objects of one fusion, in one study and one frame of reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monai.data import MetaTensor

from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.io.objects.spatial_registration import write_registration
from refinefuse_med.volume import SourceHeader, source_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["write_dicom"]


def write_dicom(
    folder: str | Path,
    fused: MetaTensor,
    functional_registered: MetaTensor,
    source: SourceHeader,
    *,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    window: tuple[float, float] | None = None,
    description: str = "RefineFuse fused",
) -> list[Path]:
    """Write ``fused/*.dcm``, ``functional_registered/*.dcm`` and ``registration.dcm``.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    fused : MetaTensor
        As in `refinefuse_med.io.write_secondary_capture`.
    functional_registered : MetaTensor, shape (1, I, J, K)
        In real units on the grid of `fused`, with the functional source header.
    source : SourceHeader
        Of the anatomical volume.
    matrix_fixed_to_moving_lps : array, shape (4, 4), optional
        Without it, or where an input was no DICOM series, no registration is written.
    window : (float, float), optional
        Low and high of the functional volume to show at first.
    description : str
        Series Description of the fused series.

    Returns
    -------
    list of Path
        All files.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written.
    """
    folder = Path(folder)
    functional = source_of(functional_registered)
    study = derive_study(source, fused)
    paths = write_secondary_capture(
        fused,
        source,
        folder / "fused",
        description=description,
        functional=functional,
        study=study,
    )
    paths += write_registered_series(
        functional_registered,
        source,
        folder / "functional_registered",
        window=window,
        study=study,
    )
    if matrix_fixed_to_moving_lps is not None and source.datasets and functional.datasets:
        path = folder / "registration.dcm"
        paths.append(
            write_registration(matrix_fixed_to_moving_lps, source, functional, path, study=study)
        )
    return paths
