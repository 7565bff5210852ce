"""From two volumes to one fused volume: the line that every face of the package calls.

register -> resample -> window and colour -> fuse luminance, slice by slice -> recolour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med import __version__, colour, registration
from refinefuse_med.config import (
    ColourConfig,
    FusionConfig,
    RegistrationConfig,
)
from refinefuse_med.engine import Engine, device_failures, release_memory, to_device, to_place
from refinefuse_med.errors import (
    DeviceMemoryError,
    InputError,
    RegistrationFailedError,
    is_out_of_memory,
)
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.registration import RegistrationResult
from refinefuse_med.results import (
    RESULT_SCHEMA,
    FusedPicture,
    FusionResult,
    RegisteredPair,
    ShownPair,
)
from refinefuse_med.volume import (
    Keys,
    affine_ras,
    describe,
    get_meta,
    grid_of,
    make_volume,
    modality_of,
    require_scalar,
    source_of,
)

__all__ = [
    "RESULT_SCHEMA",
    "FusedPicture",
    "FusionResult",
    "RegisteredPair",
    "ShownPair",
    "fuse",
    "fuse_pair",
    "fuse_registered",
    "identity_differences",
    "register_pair",
    "show_pair",
    "windows_of",
]

_IDENTITY: Final = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")

_ROLES: Final = ("anatomical", "functional")


def register_pair(
    fixed: MetaTensor,
    moving: MetaTensor,
    config: RegistrationConfig | None = None,
    monitor: Monitor = SILENT,
    known: RegistrationResult | None = None,
    *,
    start_fixed_to_moving_lps: NDArray[np.float64] | None = None,
) -> RegisteredPair:
    """Register a moving volume, shape (1, I, J, K), and resample it on the fixed grid.

    With a `known` registration of the two it is only resampled. With a start it is registered
    from there alone; see `refinefuse_med.registration.register`.

    Raises
    ------
    InputError
        A volume that is constant, not finite, or a single slice.
    GeometryError
        Geometry refused.
    """
    config = config or RegistrationConfig()
    require_scalar(fixed)
    require_scalar(moving)
    differences = identity_differences((fixed, moving))
    if "PatientID" in differences and not config.force:
        raise InputError(
            _two_patients(differences), hint="give --force if they are of one patient all the same"
        )
    aligned = known or registration.register(
        fixed, moving, config, monitor, start_fixed_to_moving_lps=start_fixed_to_moving_lps
    )
    registered, seen = registration.resample_to(
        moving,
        grid_of(fixed),
        aligned.fixed_to_moving,
        frame_of_reference_uid=get_meta(fixed, Keys.FRAME_OF_REFERENCE_UID),
        monitor=monitor,
    )
    record = {
        "schema": RESULT_SCHEMA,
        "version": __version__,
        "inputs": {"fixed": describe(fixed), "moving": describe(moving)},
        "registration": aligned.to_dict(),
        "warnings": _warnings({"fixed": fixed, "moving": moving}, aligned),
    }
    return RegisteredPair(fixed, registered, seen, aligned, record, moving)


def identity_differences(volumes: Iterable[MetaTensor]) -> dict[str, tuple[str, ...]]:
    """What of the patients' identity differs between volumes: values by DICOM keyword.

    The values name persons: they are for whoever asks, not for records and logs. What a header
    lacks differs from nothing.
    """
    headers = [source_of(volume).datasets[0] for volume in volumes if source_of(volume).datasets]
    differ = {}
    for keyword in _IDENTITY:
        found = [str(header.get(keyword) or "").strip(" ^") for header in headers]
        if len({text.casefold() for text in found if text}) > 1:
            differ[keyword] = tuple(found)
    return differ


def _two_patients(differences: Iterable[str]) -> str:
    return f"by their headers the scans are of two patients: {', '.join(differences)} differ"


def fuse_registered(
    anatomical: MetaTensor,
    functional: MetaTensor,
    field_of_view: torch.Tensor,
    config: ColourConfig,
    engine: Engine,
    monitor: Monitor = SILENT,
) -> FusedPicture:
    """Window, colour and fuse two volumes that lie on one grid, shape (1, I, J, K) each.

    Outside `field_of_view`, shape (I, J, K), the anatomy is shown alone.
    """
    volumes = anatomical, functional, field_of_view
    with device_failures(engine.device):
        place = engine.home_of(field_of_view.numel())
        try:
            return _fuse_at(place, volumes, config, engine, monitor)
        except (RuntimeError, DeviceMemoryError) as error:
            if place.type == "cpu" or not is_out_of_memory(error):
                raise
        release_memory(place)
        return _fuse_at(torch.device("cpu"), volumes, config, engine, monitor)


def _fuse_at(
    place: torch.device,
    volumes: tuple[MetaTensor, MetaTensor, torch.Tensor],
    config: ColourConfig,
    engine: Engine,
    monitor: Monitor,
) -> FusedPicture:
    """Colour at `place`, on the device where there is room, so that colours need not travel."""
    anatomical, _, field_of_view = volumes
    shown = show_pair(*volumes, config, place)
    run = engine.fuse(
        shown.grey,
        shown.luminance,
        affine_ras(anatomical),
        monitor=monitor,
        field_of_view=field_of_view,
    )
    fused = run.fused
    if shown.colormap != "none":
        fused = colour.recolour_as_painted(run.fused, shown.scalar, shown.colormap, config.keep)
    fused, luminance, contribution = to_place(
        torch.device("cpu"), fused, run.fused, run.contribution
    )
    picture = make_volume(
        fused,
        affine_ras(anatomical),
        frame_of_reference_uid=get_meta(anatomical, Keys.FRAME_OF_REFERENCE_UID),
        source=source_of(anatomical),
    )
    return FusedPicture(
        fused=picture,
        colormap=shown.colormap,
        colours=colour.palette(shown.colormap),
        windows=shown.windows,
        run=replace(run, fused=luminance, contribution=contribution),
    )


def show_pair(
    anatomical: MetaTensor,
    functional: MetaTensor,
    field_of_view: torch.Tensor,
    config: ColourConfig,
    place: torch.device | None = None,
) -> ShownPair:
    """Window and colour two volumes that lie on one grid: what a reader sees of either.

    The pictures are made on the device `place`, the CPU by default.
    """
    place = place or torch.device("cpu")
    values, others = (to_device(v.as_tensor()[0], place) for v in (anatomical, functional))
    return ShownPair(
        values,
        others,
        to_device(field_of_view, place),
        colour.resolve_colormap(config.colormap, modality_of(functional)),
        windows_of(anatomical, functional, field_of_view, config),
    )


def windows_of(
    anatomical: MetaTensor,
    functional: MetaTensor,
    field_of_view: torch.Tensor,
    config: ColourConfig,
) -> dict[str, tuple[float, float]]:
    """Window of ``anatomical`` and of ``functional``, in their units: as given, or chosen."""
    anatomy, function = config.anatomical_window, config.functional_window
    if anatomy == "auto":
        anatomy = colour.auto_window(anatomical, role="anatomical")
    if function == "auto":
        function = colour.auto_window(functional, field_of_view, role="functional")
    return {"anatomical": anatomy, "functional": function}


def fuse_pair(
    anatomical: MetaTensor,
    functional: MetaTensor,
    config: FusionConfig | None = None,
    monitor: Monitor = SILENT,
    model: RefineFuse | None = None,
    known: RegistrationResult | RegisteredPair | None = None,
) -> FusionResult:
    """Register the functional volume onto the anatomical one, and fuse the two.

    Parameters
    ----------
    anatomical : MetaTensor
        Shape (1, I, J, K); its geometry is that of the result.
    functional : MetaTensor
        Shape (1, I, J, K), on a grid of its own: PT, NM, or the CT of an MR-CT pair.
    config : FusionConfig, optional
    monitor : Monitor, optional
        Progress and cancellation.
    model : RefineFuse, optional
        A network already loaded; otherwise that of ``config.engine.model``.
    known : RegistrationResult or RegisteredPair, optional
        The registration of these two, where it has been done already (see `register_pair`); of a
        pair the registered volume is taken as it is.

    Raises
    ------
    InputError
        A volume that is constant, not finite, or a single slice.
    GeometryError, RegistrationFailedError
        Geometry refused, or the registration judged failed (unless forced).
    ModelError, DeviceError
        The network cannot be loaded; the device is not there, fails, or has too little memory.
    """
    config = config or FusionConfig()
    # Before the seconds of registration: what would stop the fusion anyway.
    model = model or RefineFuse.from_pretrained(config.engine.model)
    engine = Engine(model, config.engine)

    pair = known
    if not isinstance(pair, RegisteredPair):
        pair = register_pair(anatomical, functional, config.registration, monitor, pair)
    if pair.verdict == "failed" and not config.registration.force:
        said = ", ".join(f"{k} {v:.3g}" for k, v in pair.registration.quality.items())
        raise RegistrationFailedError(
            f"the registration is judged failed ({said})",
            hint="check that both scans are of one patient and body part, or give --force",
        )
    picture = fuse_registered(
        anatomical, pair.registered, pair.field_of_view, config.colour, engine, monitor
    )
    weights = model.weights_info()
    roles = dict(zip(_ROLES, (anatomical, functional), strict=True))
    record = {
        "schema": RESULT_SCHEMA,
        "version": __version__,
        "inputs": {role: describe(volume) for role, volume in roles.items()},
        "config": config.model_dump(mode="json", exclude={"engine": {"model", "device"}}),
        "registration": pair.registration.to_dict(),
        "fusion": {
            "model": weights["name"],
            "weights_sha256": weights["sha256"],
            "plane": config.engine.plane,
            "local_contrast": config.engine.local_contrast,
            "device": str(picture.run.device),
            "precision": picture.run.precision,
            "slices": picture.run.slices,
            "seconds": round(picture.run.seconds, 3),
            "colormap": picture.colormap,
            "windows": {
                role: {"low": low, "high": high, "units": get_meta(roles[role], Keys.UNITS)}
                for role, (low, high) in picture.windows.items()
            },
        },
        "metrics": {"contribution": _shares(picture.run.contribution)},
        "warnings": _warnings(roles, pair.registration)
        + _swapped(*(modality_of(volume) for volume in roles.values()))
        + [f"fusion: {text}" for text in picture.run.warnings],
    }
    return FusionResult(
        anatomical=anatomical,
        functional_registered=pair.registered,
        field_of_view=pair.field_of_view,
        registration=pair.registration,
        picture=picture,
        record=record,
        functional=functional,
    )


def fuse(
    anatomical: MetaTensor, functional: MetaTensor, config: FusionConfig | None = None
) -> FusionResult:
    """Register and fuse two volumes; the short form of `fuse_pair`."""
    return fuse_pair(anatomical, functional, config)


def _shares(contribution: torch.Tensor) -> dict[str, float]:
    """Part of all fused brightness that is from either scan; together 1, or 0 if all is black."""
    # NumPy makes no copy in double precision.
    parts = contribution.numpy().sum(axis=(1, 2, 3), dtype=np.float64)
    shares = (parts / max(parts.sum(), np.finfo(np.float64).tiny)).tolist()
    return {role: round(share, 4) for role, share in zip(_ROLES, shares, strict=True)}


def _swapped(anatomical: str, functional: str) -> list[str]:
    if anatomical in colour.UPTAKE_MODALITIES and functional in ("MR", "CT"):
        return [f"{anatomical} was given as the anatomy and {functional} as the function: swapped?"]
    return []


def _warnings(volumes: dict[str, MetaTensor], aligned: RegistrationResult) -> list[str]:
    notes = [f"{role}: {text}" for role, v in volumes.items() for text in source_of(v).warnings]
    if differences := identity_differences(volumes.values()):
        notes.append(_two_patients(differences))
    first, second = (volume.as_tensor() for volume in volumes.values())
    if torch.equal(first, second):
        notes.append("both scans hold the same values: was one of them given twice?")
    return notes + [f"registration: {text}" for text in aligned.warnings]
