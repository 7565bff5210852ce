"""Bring a moving volume onto the grid of a fixed one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, TransformBackends
from numpy.typing import NDArray

from refinefuse_med.config import RegistrationConfig, RegistrationMethod
from refinefuse_med.errors import RegistrationFailedError
from refinefuse_med.pipeline import RegisteredPair, register_pair
from refinefuse_med.registration import Deformation, composite, resample_to
from refinefuse_med.transforms.metadata import require_geometry, with_history_of
from refinefuse_med.volume import (
    Grid,
    Keys,
    get_meta,
    grid_of,
    like,
)

__all__ = ["CoRegister", "CoRegisterD", "CoRegisterDict", "CoRegisterd"]

_MEASURES: Final = (
    "mutual_information",
    "overlap",
    "translation_mm",
    "rotation_degrees",
    "spread_mm",
    "disagreement_mm",
    "mutual_information_rigid",
    "jacobian_min",
    "jacobian_max",
    "displacement_mean_mm",
    "displacement_max_mm",
    "control_spacing_mm",
)
"""What `RegistrationResult.quality` may hold: always there, so that batches collate."""

# MONAI allows its MetaTensor in caches that are read safely, but not the names in its history.
torch.serialization.add_safe_globals([TraceKeys])


class CoRegister(InvertibleTransform):
    """Register a moving volume onto a fixed one, and resample it on the fixed grid.

    The registered volume remembers the operation: `inverse` brings it, or a label that was
    drawn on the fixed grid and has its ``applied_operations``, to the grid that moving had.

    Parameters
    ----------
    method : {"auto", "none", "header", "rigid", "affine", "deformable"}
    seed : int
        The same seed gives the same result.
    force : bool
        Go on although the registration is judged failed.
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012  (MONAI's form)

    def __init__(
        self, method: RegistrationMethod = "auto", seed: int = 0, force: bool = False
    ) -> None:
        self.config = RegistrationConfig(method=method, seed=seed, force=force)

    def __call__(self, fixed: MetaTensor, moving: MetaTensor) -> RegisteredPair:
        """Register (1, I, J, K) `moving` onto (1, I, J, K) `fixed`.

        Raises
        ------
        RegistrationFailedError
            The registration is judged failed, and `force` is not set.
        """
        fixed, moving = require_geometry(fixed), require_geometry(moving)
        pair = register_pair(fixed, moving, self.config)
        if pair.verdict == "failed" and not self.config.force:
            raise RegistrationFailedError(
                "the registration is judged failed", hint="check that both are of one patient"
            )
        grid = grid_of(moving)
        info = {
            # By this name MONAI's Invertd turns it into "nearest" for labels.
            "mode": "bilinear",
            "fixed_to_moving_lps": pair.registration.matrix_fixed_to_moving_lps.tolist(),
            "shape": list(grid.shape),
            "affine_ras": grid.affine_ras.tolist(),
            "frame_of_reference_uid": get_meta(moving, Keys.FRAME_OF_REFERENCE_UID) or "",
        }
        if (deformation := pair.registration.deformation) is not None:
            info["coefficients"] = torch.as_tensor(deformation.coefficients)
            info["lattice_lps"] = deformation.lattice_lps.tolist()
        with_history_of(moving, pair.registered)
        self.push_transform(pair.registered, orig_size=grid.shape, extra_info=info)
        return pair

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Resample a volume, or a label of any channels, on the grid that moving had.

        Integers and booleans are taken for labels, and keep their type and their values.
        """
        info = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        grid = Grid(tuple(info["shape"]), np.asarray(info["affine_ras"]))
        moving_to_fixed = _way_back(info)
        is_label = not data.is_floating_point()
        plain = like(data, data.as_tensor().cpu().float()) if is_label else data
        restored, _ = resample_to(
            plain,
            grid,
            moving_to_fixed,
            frame_of_reference_uid=info["frame_of_reference_uid"],
            interpolation="nearest" if is_label or info["mode"] == "nearest" else "linear",
        )
        return with_history_of(data, restored.to(data.dtype))


class CoRegisterd(MapTransform, InvertibleTransform):
    """Dictionary form of `CoRegister`.

    ``data[moving_key]`` becomes the registered volume, ``data[moving_key + "_field_of_view"]``
    where it has seen the patient (uint8, (1, I, J, K)), and
    ``data[moving_key + "_registration"]`` the method, the verdict, the quality (NaN for what
    the method does not measure, so that batches collate), the 4 x 4 matrix and the warnings.

    Its inverse resamples ``data[moving_key]`` on the grid that moving had. For a label or a
    prediction on the fused grid use MONAI's ``Invertd(keys, transform, orig_keys=moving_key)``.
    """

    backend = CoRegister.backend

    def __init__(
        self,
        fixed_key: str,
        moving_key: str,
        method: RegistrationMethod = "auto",
        seed: int = 0,
        force: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, [fixed_key, moving_key], allow_missing_keys)
        self.fixed_key = fixed_key
        self.moving_key = moving_key
        self.register = CoRegister(method, seed, force)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Register ``data[moving_key]`` onto ``data[fixed_key]``."""
        registered = dict(data)
        if len(list(self.key_iterator(registered))) < 2:
            return registered
        pair = self.register(registered[self.fixed_key], registered[self.moving_key])
        registered[self.moving_key] = pair.registered
        registered[f"{self.moving_key}_field_of_view"] = with_history_of(
            pair.registered, like(pair.registered, pair.field_of_view.to(torch.uint8))
        )
        registered[f"{self.moving_key}_registration"] = _collatable(pair)
        return registered

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resample ``data[moving_key]`` back on the grid that moving had; labels by nearest."""
        restored = dict(data)
        if self.moving_key not in restored and self.allow_missing_keys:
            return restored
        volume = restored[self.moving_key].clone()  # its operations are taken off as they invert
        restored[self.moving_key] = self.register.inverse(volume)
        return restored


def _way_back(info: Mapping[str, Any]) -> NDArray[np.float64] | sitk.Transform:
    """From moving to fixed."""
    matrix: NDArray[np.float64] = np.linalg.inv(np.asarray(info["fixed_to_moving_lps"]))
    if "coefficients" not in info:
        return matrix
    deformation = Deformation(np.asarray(info["coefficients"]), np.asarray(info["lattice_lps"]))
    return composite(deformation.inverse_itk(), matrix)


def _collatable(pair: RegisteredPair) -> dict[str, Any]:
    aligned = pair.registration
    return {
        "method": aligned.method,
        "verdict": aligned.verdict,
        "quality": {**dict.fromkeys(_MEASURES, math.nan), **aligned.quality},
        "matrix_fixed_to_moving_lps": torch.as_tensor(aligned.matrix_fixed_to_moving_lps),
        "warnings": "; ".join(pair.record["warnings"]),
    }


CoRegisterD = CoRegisterDict = CoRegisterd
