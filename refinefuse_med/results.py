"""What the pipeline gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med.config import OutputConfig
from refinefuse_med.engine import EngineResult
from refinefuse_med.registration import RegistrationResult
from refinefuse_med.volume import Keys, get_meta, grid_of, like, make_volume, source_of

__all__ = ["RESULT_SCHEMA", "FusedPicture", "FusionResult", "RegisteredPair", "ShownPair"]

RESULT_SCHEMA: Final = 1
"""Version of the ``result.json`` schema."""


@dataclass(frozen=True, eq=False)
class ShownPair:
    """What a reader sees of two volumes on one grid, before they are fused.

    Its pictures are made each time they are asked for, and not kept: four bytes a voxel each.

    Attributes
    ----------
    anatomical, functional : torch.Tensor
        Shape (I, J, K): the volumes, in their units.
    field_of_view : torch.Tensor
        Shape (I, J, K), bool: where the functional scan has seen the patient.
    colormap : str
        Name of the functional volume's palette; ``none``: grey.
    windows : dict
        Window of ``anatomical`` and ``functional``, in their units.
    """

    anatomical: torch.Tensor
    functional: torch.Tensor
    field_of_view: torch.Tensor
    colormap: str
    windows: dict[str, tuple[float, float]]

    @property
    def grey(self) -> torch.Tensor:
        """Shape (I, J, K), in [0, 1]: the anatomical volume in its window."""
        from refinefuse_med import colour

        return colour.apply_window(self.anatomical, self.windows["anatomical"])

    @property
    def scalar(self) -> torch.Tensor:
        """Shape (I, J, K), in [0, 1]: the functional volume in its window; 0 outside the field of
        view, as all palettes begin with black.
        """
        from refinefuse_med import colour

        scalar = colour.apply_window(self.functional, self.windows["functional"])
        return scalar.mul_(self.field_of_view)

    @property
    def rgb(self) -> torch.Tensor:
        """Shape (3, I, J, K), uint8: the functional volume in its palette."""
        from refinefuse_med import colour

        return colour.paint(self.scalar, self.colormap)

    @property
    def luminance(self) -> torch.Tensor:
        """Shape (I, J, K), in [0, 1]: that of the functional volume in its palette."""
        from refinefuse_med import colour

        return colour.painted_luminance(self.scalar, self.colormap)


@dataclass(frozen=True, eq=False)
class FusedPicture:
    """What `fuse_registered` gives back.

    Attributes
    ----------
    fused : MetaTensor
        On the anatomical grid: colour, shape (3, I, J, K), uint8; or, where the result is
        grey, the fused luminance, shape (1, I, J, K), float32 in [0, 1].
    colormap : str
        Name of the palette; ``none``: grey.
    colours : torch.Tensor
        Shape (256, 3), in [0, 1]: the palette, from the low to the high end of the window.
    windows : dict
        Window of ``anatomical`` and ``functional``, in their units.
    run : EngineResult
        Fused luminance, contribution, and how they were made.
    """

    fused: MetaTensor
    colormap: str
    colours: torch.Tensor
    windows: dict[str, tuple[float, float]]
    run: EngineResult


@dataclass(frozen=True, eq=False)
class FusionResult:
    """What `fuse_pair` gives back.

    Attributes
    ----------
    anatomical : MetaTensor
        The anatomical volume, as given.
    functional_registered : MetaTensor
        The functional volume on the anatomical grid and in its frame of reference, real units.
    field_of_view : torch.Tensor
        Shape (I, J, K), bool: where the functional scan has seen the patient.
    registration : RegistrationResult
        Transform, verdict and quality.
    picture : FusedPicture
        The fused volume, and the palette and windows that it was made with.
    record : dict
        What ``result.json`` holds (design section 4); ``outputs`` once it is saved.
    functional : MetaTensor, optional
        The functional volume as given: for the picture of before and after.
    """

    anatomical: MetaTensor
    functional_registered: MetaTensor
    field_of_view: torch.Tensor
    registration: RegistrationResult
    picture: FusedPicture
    record: dict[str, Any] = field(repr=False)
    functional: MetaTensor | None = field(default=None, repr=False)

    @property
    def fused(self) -> MetaTensor:
        """The fused volume; see `FusedPicture.fused`."""
        return self.picture.fused

    @property
    def shown(self) -> ShownPair:
        """The two volumes as they were shown to the network and to the reader."""
        return ShownPair(
            anatomical=self.anatomical.as_tensor()[0],
            functional=self.functional_registered.as_tensor()[0],
            field_of_view=self.field_of_view,
            colormap=self.picture.colormap,
            windows=self.picture.windows,
        )

    @property
    def contribution(self) -> torch.Tensor:
        """Shape (2, I, J, K): the part of the fused luminance that comes from the anatomical
        and from the functional volume; their sum is the fused luminance.
        """
        return self.picture.run.contribution

    @property
    def contribution_rgb(self) -> MetaTensor:
        """The contribution in colours, on the anatomical grid: shape (3, I, J, K), uint8; blue
        comes from the anatomical volume, orange from the functional one.
        """
        from refinefuse_med import colour

        return like(self.fused, colour.paint_contribution(self.contribution))

    @property
    def functional_share(self) -> MetaTensor:
        """Shape (1, I, J, K), in [0, 1]: the part of the fused luminance that comes from the
        functional volume; 0 where it is black.
        """
        parts = self.contribution
        whole = parts.sum(dim=0, keepdim=True)
        share = torch.where(whole > 0, parts[1:] / whole.clamp_min(1e-6), 0.0)
        return make_volume(
            share.clamp(0, 1),
            grid_of(self.fused).affine_ras,
            units="ratio",
            frame_of_reference_uid=get_meta(self.fused, Keys.FRAME_OF_REFERENCE_UID),
            source=source_of(self.fused),
        )

    @property
    def transform(self) -> NDArray[np.float64]:
        """4 x 4, LPS mm: maps points of fixed (anatomical) to moving (functional)."""
        return self.registration.matrix_fixed_to_moving_lps

    @property
    def quality(self) -> dict[str, float]:
        """Measures of the registration, by name."""
        return self.registration.quality

    def save(
        self, out: str | Path, format: str | Sequence[str] | None = None, **options: Any
    ) -> Path:
        """Write the result as the folder `out`, whole or not at all; see design section 4.

        Parameters
        ----------
        out : path
            The folder to make.
        format : {"nifti", "dicom", "mha", "nrrd"} or several of them, optional
            That of the anatomical input by default.
        **options
            Any other field of `refinefuse_med.config.OutputConfig`, such as ``preview=True``.

        Raises
        ------
        OutputError
            `out` exists, or cannot be written.
        """
        from refinefuse_med.output import save_result

        formats = (format,) if isinstance(format, str) else tuple(format or ())
        config = OutputConfig.model_validate({"formats": formats, **options})
        return save_result(self, Path(out), config)


@dataclass(frozen=True, eq=False)
class RegisteredPair:
    """What `register_pair` gives back.

    Attributes
    ----------
    fixed : MetaTensor
        As given.
    registered : MetaTensor
        The moving volume on the fixed grid and in its frame of reference, real units.
    field_of_view : torch.Tensor
        Shape (I, J, K), bool: where the moving scan has seen the patient.
    registration : RegistrationResult
        Transform, verdict and quality.
    record : dict
        The ``result.json`` of a registration: as that of a fusion, without ``fusion``.
    moving : MetaTensor, optional
        As given: for the picture of before and after.
    """

    fixed: MetaTensor
    registered: MetaTensor
    field_of_view: torch.Tensor
    registration: RegistrationResult
    record: dict[str, Any] = field(repr=False)
    moving: MetaTensor | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        """``ok``, ``suspect`` or ``failed``."""
        return self.registration.verdict
