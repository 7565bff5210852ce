"""The folder that a fusion or a registration leaves behind (design section 4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med import io
from refinefuse_med.alignment_view import write_alignment
from refinefuse_med.config import OutputConfig, OutputFormat
from refinefuse_med.deidentification import deidentify
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_med.pseudonyms import Pseudonyms
from refinefuse_med.volume import Keys, get_meta, grid_of, modality_of, source_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.applying import AppliedTransform
    from refinefuse_med.registration import RegistrationResult
    from refinefuse_med.results import FusionResult, RegisteredPair, ShownPair

__all__ = ["formats_of", "save_applied", "save_registration", "save_result"]

PREVIEW: Final = "preview.png"
ALIGNMENT: Final = "alignment.png"
_SHOWN: Final = {
    PREVIEW: "Axial, coronal and sagittal planes of the anatomical, functional and fused volumes",
    ALIGNMENT: "The same planes as checkerboard, and with the edges of one scan over the other",
}


_OF_DICOM: Final = ("multiframe", "quantitative", "colour_bar")
"""Options that are missed where no DICOM is written; of UIDs, which a batch always asks for, none
are."""


def formats_of(anatomical: MetaTensor, config: OutputConfig) -> tuple[OutputFormat, ...]:
    """What to write: as asked for, else the format that the anatomical input came in."""
    if config.formats:
        return config.formats
    return ("dicom",) if source_of(anatomical).format == "dicom" else ("nifti",)


def save_result(
    result: FusionResult, out: Path, config: OutputConfig, monitor: Monitor = SILENT
) -> Path:
    """Write a fusion as the folder `out`, whole or not at all.

    Where DICOM alone is asked for, the registered functional volume is written as NIfTI too,
    since most DICOM images hold its values in 16 bits only.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    OutputError
        `out` exists (unless the configuration says otherwise), or cannot be written.
    CancelledError
        The user asked to stop; `out` is as it was before.
    """
    formats = formats_of(result.anatomical, config)
    volumes = (result.anatomical, result.functional_registered)
    functional_factor = _factor_of(result.functional_registered)
    space = io.space_of(source_of(result.anatomical))
    idle = [f"--{name.replace('_', '-')}" for name in _OF_DICOM if getattr(config, name)]
    if idle and "dicom" not in formats:
        result.record["warnings"].append(f"output: no DICOM is written, so no {', '.join(idle)}")
    if config.deidentify:
        result = deidentify(result, Pseudonyms.from_file(config.key))

    def write(folder: Path) -> dict[str, Any]:
        monitor.update("writing", 0.0)
        _write_images(result, folder, formats, config, space)
        monitor.update("writing", 0.4)
        _write_transform(result.registration, result.anatomical, folder)
        if "dicom" in formats:
            _write_dicom(result, folder / "dicom", config, functional_factor)
        monitor.update("writing", 0.8)
        if config.preview or config.report:
            _write_preview(result, folder / PREVIEW)
            write_alignment(
                folder / ALIGNMENT,
                result.anatomical,
                result.functional_registered,
                result.shown,
                result.registration,
                moving=result.functional,
            )
        if config.report:
            _write_report(folder, result.record)
        monitor.update("writing", 1.0)
        return result.record

    return _save(out, config, volumes, write)


def _factor_of(volume: MetaTensor) -> float:
    """From the rescaled values of its files to the volume's units; cleaned headers forget it."""
    headers = source_of(volume).datasets
    return io.scale_of(headers, modality_of(volume)).factor if headers else 1.0


def _write_images(
    result: FusionResult,
    folder: Path,
    formats: tuple[OutputFormat, ...],
    config: OutputConfig,
    space: str,
) -> None:
    kinds = [name for name in formats if name != "dicom"]
    volumes = {"functional_registered": (result.functional_registered, kinds or ["nifti"])}
    if kinds:
        volumes["fused"] = (result.fused, kinds)
    if config.contribution:
        volumes["contribution"] = (result.functional_share, kinds or ["nifti"])
    for name, (volume, wanted) in volumes.items():
        for kind in wanted:
            if kind == "nifti":
                io.write_nifti(volume, folder / f"{name}.nii.gz", space=space)
            else:
                io.write_itk(volume, folder / f"{name}.{kind}")
        io.write_sidecar(name, volume, result.record, folder / f"{name}.json")


def _write_dicom(
    result: FusionResult, folder: Path, config: OutputConfig, functional_factor: float
) -> None:
    picture, deformation = result.picture, result.registration.deformation
    coloured = picture.colormap != "none"
    io.write_dicom(
        folder,
        result.fused,
        result.functional_registered,
        source_of(result.anatomical),
        matrix_fixed_to_moving_lps=result.transform,
        method=result.registration.method,
        displacement=None if deformation is None else deformation.displacement,
        shown=io.Shown(
            anatomical=picture.windows["anatomical"],
            functional=picture.windows["functional"],
            colours=(picture.colours.cpu() * 255).round().byte().numpy() if coloured else None,
            palette=picture.colormap,
            functional_factor=functional_factor,
            local_contrast=result.record["fusion"]["local_contrast"],
        ),
        contribution=result.functional_share if config.contribution else None,
        description=f"RefineFuse {'+'.join(_modalities(result))} (research use only)",
        options=io.DicomOptions(
            multiframe=config.multiframe,
            quantitative=config.quantitative,
            colour_bar=config.colour_bar,
            seed=_seed(result) if config.deterministic_uids else None,
            deidentified=config.deidentify,
        ),
    )


def _seed(result: FusionResult) -> str:
    """What a run is made of: its inputs and its configuration, without when and where it ran."""
    record = {
        "inputs": [
            _fingerprint(volume) for volume in (result.anatomical, result.functional_registered)
        ],
        "config": result.record["config"],
        "weights": result.record["fusion"]["weights_sha256"],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _fingerprint(volume: MetaTensor) -> list[str]:
    """The instances that a volume was read from; the bytes of its file; or its values."""
    source = source_of(volume)
    if source.datasets:
        return [str(header.get("SOPInstanceUID")) for header in source.datasets]
    path = Path(source.path)
    if source.path and path.is_file():
        with path.open("rb") as file:
            return [hashlib.file_digest(file, "sha256").hexdigest()]
    return [hashlib.sha256(volume.as_tensor().cpu().numpy().tobytes()).hexdigest()]


def save_registration(
    pair: RegisteredPair, out: Path, config: OutputConfig, shown: ShownPair | None = None
) -> Path:
    """Write a registration as the folder `out`: registered volume, transform, result.json.

    Preview and report need to know how the two are `shown`.
    """

    def write(folder: Path) -> dict[str, Any]:
        space = io.space_of(source_of(pair.fixed))
        io.write_nifti(pair.registered, folder / "moving_registered.nii.gz", space=space)
        _write_transform(pair.registration, pair.fixed, folder)
        if shown is not None and (config.preview or config.report):
            write_alignment(
                folder / ALIGNMENT,
                pair.fixed,
                pair.registered,
                shown,
                pair.registration,
                moving=pair.moving,
            )
        if config.report:
            _write_report(folder, pair.record)
        return pair.record

    return _save(out, config, (pair.fixed, pair.registered), write)


def save_applied(
    fixed: MetaTensor,
    applied: AppliedTransform,
    out: Path,
    config: OutputConfig,
    inputs: Iterable[Path] = (),
) -> Path:
    """Write volumes taken through a known transform as the folder `out`.

    Their names are those of the NIfTI files they were read from; DICOM names nothing that may be
    shown, so those are numbered.
    """

    def write(folder: Path) -> dict[str, Any]:
        space = io.space_of(source_of(fixed))
        for name, volume in zip(_stems(applied.volumes), applied.volumes, strict=True):
            io.write_nifti(volume, folder / f"{name}_registered.nii.gz", space=space)
        return applied.record

    return _save(out, config, (fixed, *applied.volumes), write, inputs)


def _stems(volumes: Sequence[MetaTensor]) -> list[str]:
    stems: list[str] = []
    for number, volume in enumerate(volumes, start=1):
        source = source_of(volume)
        named = source.format == "nifti" and source.path and len(volumes) > 1
        stem = (
            Path(source.path).name.removesuffix(".gz").removesuffix(".nii") if named else "moving"
        )
        stems.append(f"{stem}_{number}" if stem in stems or (not named and number > 1) else stem)
    return stems


def _save(
    out: Path,
    config: OutputConfig,
    volumes: Iterable[MetaTensor],
    write: Callable[[Path], dict[str, Any]],
    inputs: Iterable[Path] = (),
) -> Path:
    sources = {*(source_of(volume).path for volume in volumes), *map(str, inputs)} - {""}
    with io.AtomicFolder(out, config.if_exists, inputs=sources) as folder:
        record = write(folder)
        written = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
        record["outputs"] = sorted([*(p.as_posix() for p in written), "result.json"])
        io.write_json(record, folder / "result.json")
    return out


def _write_transform(aligned: RegistrationResult, fixed: MetaTensor, folder: Path) -> None:
    if aligned.method == "none":
        return
    grid, deformation = grid_of(fixed), aligned.deformation
    io.write_transform(
        aligned.matrix_fixed_to_moving_lps,
        folder / "transform.tfm",
        center_lps=LPS_FROM_RAS[:3, :3] @ grid.center_ras,
        before=None if deformation is None else deformation.itk(),
    )
    if deformation is not None:
        io.write_displacement(
            folder / "displacement.nii.gz",
            grid,
            (aligned.displacement(grid, k) for k in range(grid.shape[2])),
        )


def _modalities(result: FusionResult) -> tuple[str, str]:
    return modality_of(result.anatomical), modality_of(result.functional_registered)


def _write_preview(result: FusionResult, path: Path) -> None:
    picture = result.picture
    io.render_preview(
        path,
        anatomical=result.anatomical,
        functional_rgb=result.shown.rgb,
        fused=picture.fused,
        contribution_rgb=result.contribution_rgb,
        window_anatomical=picture.windows["anatomical"],
        window_functional=picture.windows["functional"],
        units=get_meta(result.functional_registered, Keys.UNITS) or "a.u.",
        colours=picture.colours,
        verdict=result.registration.verdict,
        method=result.registration.method,
        labels=(
            *_modalities(result),
            "RefineFuse",
            "Blue {}, orange {}".format(*_modalities(result)),
        ),
    )


def _write_report(folder: Path, record: dict[str, Any]) -> None:
    pictures = {shown: folder / name for name, shown in _SHOWN.items() if (folder / name).is_file()}
    io.write_report(folder / "report.html", record, pictures)
