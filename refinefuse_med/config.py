"""Frozen, validated configurations of every step, with a JSON round trip."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "ColourConfig",
    "EngineConfig",
    "FusionConfig",
    "OutputConfig",
    "RegistrationConfig",
    "Window",
]


def _ascending(window: tuple[float, float]) -> tuple[float, float]:
    if not -math.inf < window[0] < window[1] < math.inf:
        raise ValueError(f"a window needs LOW < HIGH, not {window[0]:g},{window[1]:g}")
    return window


Window = Literal["auto"] | Annotated[tuple[float, float], AfterValidator(_ascending)]
"""LOW and HIGH in the volume's units, or ``auto``."""

RegistrationMethod = Literal["auto", "none", "header", "rigid", "affine", "deformable"]
Plane = Literal["axial", "coronal", "sagittal", "triplanar"]
Colormap = Literal["auto", "hot_iron", "pet", "hot_metal_blue", "pet_20_step", "none"]
Keep = Literal["luminance", "chroma"]
Precision = Literal["auto", "float32", "float16"]
OutputFormat = Literal["nifti", "dicom", "mha", "nrrd"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegistrationConfig(_Config):
    """How moving is brought onto fixed."""

    method: RegistrationMethod = Field(
        "auto", description="auto: header where both share a frame of reference, else rigid"
    )
    seed: int = Field(
        0, ge=0, description="seed of the sample points; the same seed, the same result"
    )
    threads: int = Field(0, ge=0, description="threads to use; 0: all cores")
    force: bool = Field(
        False,
        description="fuse although the registration is judged failed, or headers name two patients",
    )
    control_spacing_mm: float = Field(
        30.0, ge=10, le=200, description="deformable: distance of the control points, at most"
    )


class ColourConfig(_Config):
    """How both volumes are windowed, and the functional one coloured."""

    colormap: Colormap = Field("auto", description="auto: hot_iron for PT and NM, none for CT")
    keep: Keep = Field(
        "luminance",
        description="what is kept where a saturated colour has no room for the fused brightness:"
        " luminance (the anatomy shows through) or chroma (the colours stay those of the palette)",
    )
    anatomical_window: Window = "auto"
    functional_window: Window = "auto"


class EngineConfig(_Config):
    """How the network is run over a volume."""

    plane: Plane = "axial"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda|cuda:\d+|mps)$")
    model: Path | None = Field(None, description="weights file; the one in the package if None")
    batch_size: int = Field(
        0, ge=0, description="slices at a time; 0: chosen from the slice size and the free memory"
    )
    local_contrast: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how much of the local contrast of both scans is mixed into what the network"
        " makes; 1: what one scan alone shows stands out as it does there",
    )
    precision: Precision = Field(
        "auto",
        description="auto: float16 on CUDA where it is within 1/255 of float32, else float32",
    )


class OutputConfig(_Config):
    """What is written."""

    formats: tuple[OutputFormat, ...] = Field((), description="empty: that of the anatomical input")
    if_exists: Literal["fail", "skip", "overwrite"] = "fail"
    preview: bool = False
    report: bool = False
    deidentify: bool = Field(False, description="clean all headers by the basic profile of PS3.15")
    key: Path | None = Field(
        None, description="file of the pseudonyms' key; the user's own if None"
    )
    contribution: bool = Field(False, description="also the share of the functional volume")
    multiframe: bool = Field(False, description="DICOM: the fused volume as one object")
    quantitative: bool = Field(
        False, description="DICOM: the functional volume as a Parametric Map, in float32"
    )
    colour_bar: bool = Field(False, description="DICOM: also the colour bar, as an image")
    deterministic_uids: bool = Field(
        False, description="DICOM: the same UIDs for the same inputs and configuration"
    )


class FusionConfig(_Config):
    """Everything that `refinefuse_med.pipeline.fuse_pair` does to two volumes."""

    registration: RegistrationConfig = RegistrationConfig()
    colour: ColourConfig = ColourConfig()
    engine: EngineConfig = EngineConfig()
