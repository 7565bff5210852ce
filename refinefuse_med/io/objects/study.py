"""Writing all DICOM objects of one fusion, in one study and one frame of reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from monai.data import MetaTensor
from pydicom import dcmread
from pydicom.dataset import Dataset

from refinefuse_med.io.objects.blending import Layer, write_blending
from refinefuse_med.io.objects.colour_bar import write_colour_bar
from refinefuse_med.io.objects.deformable_registration import (
    Displacement,
    write_deformable_registration,
)
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.objects.multiframe import write_multiframe_capture
from refinefuse_med.io.objects.parametric_map import (
    CONTRIBUTION,
    FUNCTIONAL,
    Content,
    write_parametric_map,
)
from refinefuse_med.io.objects.references import can_be_referred_to
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.io.objects.slices import make_folder
from refinefuse_med.io.objects.spatial_registration import write_registration
from refinefuse_med.volume import Keys, SourceHeader, get_meta, grid_of, modality_of, source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Window = tuple[float, float] | None

__all__ = ["DicomOptions", "Shown", "write_dicom"]


@dataclass(frozen=True)
class DicomOptions:
    """Which objects are written, and how.

    Attributes
    ----------
    multiframe : bool
        The fused volume as one multi-frame object, ``fused.dcm``, instead of slices.
    quantitative : bool
        The functional volume as a Parametric Map, ``functional_registered.dcm``, float32,
        instead of 16-bit images of its modality.
    colour_bar : bool
        Also ``colour_bar.dcm``, where the fused volume is in colour.
    seed : str or None
        What new UIDs are made from; random ones where None.
    deidentified : bool
        The sources were cleaned by `refinefuse_med.io.Deidentifier`: the objects say so.
    """

    multiframe: bool = False
    quantitative: bool = False
    colour_bar: bool = False
    seed: str | None = None
    deidentified: bool = False


@dataclass(frozen=True, eq=False)
class Shown:
    """How the two volumes are shown in the fused one.

    Attributes
    ----------
    anatomical, functional : (float, float)
        Windows: low and high, in the units of each.
    colours : array, shape (256, 3), uint8, or None
        Palette of the functional volume; None: grey.
    palette : str
        Its name.
    functional_factor : float
        From the values that the functional files' own rescale gives to the units of the window.
    local_contrast : float
        How much of the local contrast of both was mixed in, in [0, 1].
    """

    anatomical: tuple[float, float]
    functional: tuple[float, float]
    colours: NDArray[np.uint8] | None = None
    palette: str = "none"
    functional_factor: float = 1.0
    local_contrast: float = 0.0


def write_dicom(
    folder: str | Path,
    fused: MetaTensor,
    functional_registered: MetaTensor,
    source: SourceHeader,
    *,
    matrix_fixed_to_moving_lps: ArrayLike | None = None,
    method: str = "rigid",
    displacement: Displacement | None = None,
    shown: Shown | None = None,
    contribution: MetaTensor | None = None,
    description: str = "RefineFuse fused",
    options: DicomOptions | None = None,
) -> list[Path]:
    """Write every object of a fusion into one folder.

    Parameters
    ----------
    folder : Path
        Made where it does not exist. Gets ``fused/*.dcm`` and ``functional_registered/*.dcm``
        (or ``.dcm`` files of these names, see `options`), and, where both inputs were DICOM
        series, ``registration.dcm`` and ``blending.dcm``.
    fused : MetaTensor
        As in `refinefuse_med.io.write_secondary_capture`.
    functional_registered : MetaTensor, shape (1, I, J, K)
        In real units on the grid of `fused`, with the functional source header.
    source : SourceHeader
        Of the anatomical volume.
    matrix_fixed_to_moving_lps : array, shape (4, 4), optional
        Where the functional scan lies; without it, its whole series counts as source of each
        slice.
    method : str
        How the two were registered; where they were not (``none``), neither a registration nor
        a blending is written.
    displacement : callable, optional
        Of a deformable registration, see `deformable_registration`. The blending, which knows
        matrices alone, then shows the registered series instead of the source.
    shown : Shown, optional
        Windows and palette; recorded in the objects, and what the blending shows.
    contribution : MetaTensor, shape (1, I, J, K), optional
        Share of the functional volume in the fused brightness; becomes ``contribution.dcm``.
    description : str
        Series Description of the fused series.
    options : DicomOptions, optional

    Returns
    -------
    list of Path
        All files.

    Raises
    ------
    GeometryError
        The grid is sheared.
    OutputError
        A file cannot be written, or the volume is too large for one object.
    """
    folder = make_folder(folder)
    options = options or DicomOptions()
    functional = source_of(functional_registered)
    units = get_meta(functional_registered, Keys.UNITS) or "a.u."
    study = derive_study(source, fused, options.seed, deidentified=options.deidentified)
    window = shown.functional if shown else None
    made_from: _MadeFrom = {
        "study": study,
        "functional": functional,
        # The matrix alone does not say where a deformation leads.
        "matrix_fixed_to_moving_lps": matrix_fixed_to_moving_lps if displacement is None else None,
    }
    told: _Told = {"description": description, "details": _details(shown, units)}

    def one_map(volume: MetaTensor, name: str, content: Content, shown_first: Window) -> Path:
        path = folder / f"{name}.dcm"
        return write_parametric_map(volume, source, path, content, window=shown_first, **made_from)

    if options.multiframe:
        path = folder / "fused.dcm"
        paths = [write_multiframe_capture(fused, source, path, **told, **made_from)]
    else:
        paths = write_secondary_capture(fused, source, folder / "fused", **told, **made_from)
    name = "functional_registered"
    if options.quantitative:
        registered = [one_map(functional_registered, name, FUNCTIONAL, window)]
    else:
        registered = write_registered_series(
            functional_registered, source, folder / name, window=window, **made_from
        )
    paths += registered
    if contribution is not None:
        paths.append(one_map(contribution, "contribution", CONTRIBUTION, (0.0, 1.0)))
    if (
        matrix_fixed_to_moving_lps is not None
        and method != "none"
        and _both_named(source, functional)
    ):
        path, matrix = folder / "registration.dcm", matrix_fixed_to_moving_lps
        if displacement is None:
            write_registration(matrix, source, functional, path, study=study, method=method)
        elif functional.datasets[0].get("FrameOfReferenceUID"):
            write_deformable_registration(
                matrix, displacement, grid_of(fused), source, functional, path, study=study
            )
        written = [path] if path.exists() else []
        if written and shown is not None:
            base, registration = Layer(source, shown.anatomical), dcmread(path)
            overlay = _as_acquired(functional, shown)
            if displacement is not None:
                overlay = _as_written(registered, shown)
            path = folder / "blending.dcm"
            written.append(write_blending(base, overlay, registration, path, study=study))
        paths += written
    if options.colour_bar and shown is not None and shown.colours is not None:
        paths.append(
            write_colour_bar(
                shown.colours,
                shown.functional,
                folder / "colour_bar.dcm",
                units=units,
                title=f"{modality_of(functional_registered)}, {shown.palette}",
                study=study,
                sources=(source, functional),
            )
        )
    return paths


class _Told(TypedDict):
    """What is said of the fused volume."""

    description: str
    details: str


class _MadeFrom(TypedDict):
    """What all writers of volumes take."""

    study: Dataset
    functional: SourceHeader
    matrix_fixed_to_moving_lps: ArrayLike | None


def _both_named(*sources: SourceHeader) -> bool:
    return all(s.datasets and all(map(can_be_referred_to, s.datasets)) for s in sources)


def _details(shown: Shown | None, units: str) -> str:
    if shown is None:
        return ""
    (a_low, a_high), (f_low, f_high) = shown.anatomical, shown.functional
    mixed = f", local contrast {shown.local_contrast:g}" if shown.local_contrast else ""
    return (
        f"anatomical window {a_low:g} to {a_high:g}, functional window {f_low:g} to {f_high:g} "
        f"{units}, palette {shown.palette}{mixed}"
    )


def _as_acquired(functional: SourceHeader, shown: Shown) -> Layer:
    """The window in the values that the files' own rescale gives: Bq/ml where we have SUV."""
    low, high = (bound / shown.functional_factor for bound in shown.functional)
    return Layer(functional, (low, high), shown.colours)


def _as_written(paths: Sequence[Path], shown: Shown) -> Layer:
    headers = tuple(dcmread(path, stop_before_pixels=True) for path in paths)
    return Layer(SourceHeader("dicom", "", headers), shown.functional, shown.colours)
