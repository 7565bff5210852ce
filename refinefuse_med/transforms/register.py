"""Bring a moving volume onto the grid of a fixed one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Transform
from monai.utils import TraceKeys

from refinefuse_med.config import RegistrationConfig, RegistrationMethod
from refinefuse_med.errors import RegistrationFailedError
from refinefuse_med.pipeline import RegisteredPair, register_pair
from refinefuse_med.registration import resample_to
from refinefuse_med.volume import Grid, grid_of, like

__all__ = ["CoRegister", "CoRegisterD", "CoRegisterDict", "CoRegisterd"]


class CoRegister(Transform):
    """Register a moving volume onto a fixed one, and resample it on the fixed grid.

    Parameters
    ----------
    method : {"auto", "none", "header", "rigid", "affine", "deformable"}
    seed : int
        The same seed gives the same result.
    force : bool
        Go on although the registration is judged failed.
    """

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
        pair = register_pair(fixed, moving, self.config)
        if pair.verdict == "failed" and not self.config.force:
            raise RegistrationFailedError(
                "the registration is judged failed", hint="check that both are of one patient"
            )
        return pair


class CoRegisterd(MapTransform, InvertibleTransform):
    """Dictionary form of `CoRegister`.

    ``data[moving_key]`` becomes the registered volume, ``data[moving_key + "_field_of_view"]``
    where it has seen the patient (bool, (1, I, J, K)), and ``data[moving_key + "_registration"]``
    the entry of ``result.json``. Its inverse resamples ``data[moving_key]``, or a label drawn
    on the fixed grid and put in its place, on the grid that moving had.
    """

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
        fixed, moving = registered[self.fixed_key], registered[self.moving_key]
        pair = self.register(fixed, moving)
        grid = grid_of(moving)
        info = {
            "fixed_to_moving_lps": pair.registration.matrix_fixed_to_moving_lps.tolist(),
            "shape": list(grid.shape),
            "affine_ras": grid.affine_ras.tolist(),
        }
        self.push_transform(pair.registered, extra_info=info)
        registered[self.moving_key] = pair.registered
        registered[f"{self.moving_key}_field_of_view"] = like(
            fixed, pair.field_of_view.to(torch.uint8)
        )
        registered[f"{self.moving_key}_registration"] = pair.record["registration"]
        return registered

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resample ``data[moving_key]`` back on the grid that moving had; labels by nearest."""
        restored = dict(data)
        volume = restored[self.moving_key]
        info = self.pop_transform(volume)[TraceKeys.EXTRA_INFO]
        grid = Grid(tuple(info["shape"]), np.asarray(info["affine_ras"]))
        moving_to_fixed = np.linalg.inv(np.asarray(info["fixed_to_moving_lps"]))
        restored[self.moving_key], _ = resample_to(
            volume,
            grid,
            moving_to_fixed,
            interpolation="linear" if volume.is_floating_point() else "nearest",
        )
        return restored


CoRegisterD = CoRegisterDict = CoRegisterd
