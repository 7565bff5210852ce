"""The folder that a fusion or a registration leaves behind (design section 4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinefuse_med import io
from refinefuse_med.config import OutputConfig, OutputFormat
from refinefuse_med.volume import Keys, get_meta, grid_of, source_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.pipeline import FusionResult, RegisteredPair
    from refinefuse_med.registration import RegistrationResult

__all__ = ["formats_of", "save_registration", "save_result"]


def formats_of(anatomical: MetaTensor, config: OutputConfig) -> tuple[OutputFormat, ...]:
    """What to write: as asked for, else the format that the anatomical input came in."""
    if config.formats:
        return config.formats
    return ("dicom",) if source_of(anatomical).format == "dicom" else ("nifti",)


def save_result(result: FusionResult, out: Path, config: OutputConfig) -> Path:
    """Write a fusion as the folder `out`, whole or not at all.

    The registered functional volume is written as NIfTI whatever the format, since that is
    where its real units are kept.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    OutputError
        `out` exists (unless the configuration says otherwise), or cannot be written.
    """
    formats = formats_of(result.anatomical, config)

    def write(folder: Path) -> dict[str, Any]:
        if "nifti" in formats:
            io.write_nifti(result.fused, folder / "fused.nii.gz")
        io.write_nifti(result.functional_registered, folder / "functional_registered.nii.gz")
        _write_transform(result.registration, result.anatomical, folder)
        if "dicom" in formats:
            io.write_secondary_capture(
                result.fused,
                source_of(result.anatomical),
                folder / "dicom" / "fused",
                description=_series_description(result),
            )
        if config.preview or config.report:
            _write_preview(result, folder / "preview.png")
        if config.report:
            io.write_report(folder / "report.html", result.record, folder / "preview.png")
        return result.record

    return _save(out, config, write)


def save_registration(pair: RegisteredPair, out: Path, config: OutputConfig) -> Path:
    """Write a registration as the folder `out`: registered volume, transform, result.json."""

    def write(folder: Path) -> dict[str, Any]:
        io.write_nifti(pair.registered, folder / "moving_registered.nii.gz")
        _write_transform(pair.registration, pair.fixed, folder)
        return pair.record

    return _save(out, config, write)


def _save(out: Path, config: OutputConfig, write: Callable[[Path], dict[str, Any]]) -> Path:
    with io.AtomicFolder(out, config.if_exists) as folder:
        record = write(folder)
        written = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
        record["outputs"] = sorted([*(p.as_posix() for p in written), "result.json"])
        io.write_json(record, folder / "result.json")
    return out


def _write_transform(aligned: RegistrationResult, fixed: MetaTensor, folder: Path) -> None:
    if aligned.method != "none":
        center = grid_of(fixed).center_ras * (-1, -1, 1)
        io.write_transform(
            aligned.matrix_fixed_to_moving_lps, folder / "transform.tfm", center_lps=center
        )


def _series_description(result: FusionResult) -> str:
    inputs = result.record["inputs"]
    pair = "+".join(inputs[role]["modality"] for role in ("anatomical", "functional"))
    return f"RefineFuse {pair} (research use only)"


def _write_preview(result: FusionResult, path: Path) -> None:
    picture = result.picture
    io.render_preview(
        path,
        anatomical=result.anatomical,
        functional_rgb=picture.functional_rgb,
        fused=picture.fused,
        window_anatomical=picture.windows["anatomical"],
        window_functional=picture.windows["functional"],
        units=get_meta(result.functional_registered, Keys.UNITS) or "a.u.",
        colours=picture.colours,
        verdict=result.registration.verdict,
    )
