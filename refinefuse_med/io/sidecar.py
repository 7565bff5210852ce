"""JSON files beside written volumes, in the manner of BIDS derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from monai.data import MetaTensor

from refinefuse_med import __version__
from refinefuse_med.io.record import write_json
from refinefuse_med.io.wording import RESEARCH_ONLY
from refinefuse_med.volume import Keys, get_meta, modality_of

__all__ = ["write_sidecar"]

_DESCRIPTIONS: Final = {
    "fused": "Anatomical and functional image fused by RefineFuse",
    "functional_registered": "Functional image registered to the anatomical one and resampled",
    "contribution": "Part of the fused brightness that comes from the functional image",
}


def write_sidecar(
    name: str, volume: MetaTensor, record: Mapping[str, Any], path: str | Path
) -> Path:
    """Write what BIDS derivatives say of an image, and how this one was made.

    Source: BIDS 1.10, "Common data types and metadata" of derivatives.

    Parameters
    ----------
    name : {"fused", "functional_registered", "contribution"}
        What the image is.
    volume : MetaTensor
        As written.
    record : mapping
        ``result.json`` of the fusion.
    path : Path
        The JSON file, of the name of the image.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    fusion, registration = record["fusion"], record["registration"]
    inputs = record["inputs"]
    content: dict[str, Any] = {
        "Description": f"{_DESCRIPTIONS[name]}. {RESEARCH_ONLY}",
        "GeneratedBy": [{"Name": "RefineFuse-Med", "Version": __version__}],
        "SpatialReference": "orig",
        "SkullStripped": False,
        "SourceSeriesInstanceUIDs": {
            role: described["series_instance_uid"] for role, described in inputs.items()
        },
        "RegistrationMethod": registration["method"],
        "RegistrationVerdict": registration["verdict"],
    }
    if name == "functional_registered":
        content["Modality"] = modality_of(volume)
        content["Units"] = get_meta(volume, Keys.UNITS)
    else:
        content["SourceModalities"] = {
            role: described["modality"] for role, described in inputs.items()
        }
        content["Model"] = fusion["model"]
        content["ModelSHA256"] = fusion["weights_sha256"]
        content["LocalContrast"] = fusion["local_contrast"]
        content["Windows"] = fusion["windows"]
        content["Palette"] = fusion["colormap"]
    return write_json(content, path)
