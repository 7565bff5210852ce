"""RefineFuse as a MONAI ``Inferer``, for evaluators and workflows."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from refinefuse_med.config import EngineConfig, Plane
from refinefuse_med.engine import Engine
from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.network import RefineFuse

__all__ = ["FusionInferer"]


class FusionInferer(Inferer):
    """Runs a fusing network over slices or whole volumes, as the engine does.

    Parameters
    ----------
    plane : {"axial", "coronal", "sagittal", "triplanar"}
        Slices of volumes that the network sees.
    batch_size : int
        Slices at a time; 0: chosen from their size.
    local_contrast : float
        How much of the local contrast of both scans is mixed in, in [0, 1].
    """

    def __init__(
        self, plane: Plane = "axial", batch_size: int = 0, local_contrast: float = 0.0
    ) -> None:
        self.plane: Plane = plane
        self.batch_size = batch_size
        self.local_contrast = local_contrast

    def __call__(
        self,
        inputs: torch.Tensor,
        network: RefineFuse,
        field_of_view: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Fuse a batch.

        Parameters
        ----------
        inputs : Tensor, shape (B, 2, H, W), or MetaTensor, shape (B, 2, I, J, K); in [0, 1]
            Luminance of the anatomical and of the functional picture. Volumes bring their
            affines, which say how their slices lie.
        network : module
            With the ``with_contribution`` of `RefineFuse`; it is run where its weights are.
        field_of_view : Tensor, shape (B, 1, I, J, K), optional
            Where the functional scan has seen the patient. Outside, the anatomy is unchanged.

        Returns
        -------
        Tensor, shape (B, 1, ...), in [0, 1]
            On the device of `inputs`, with its metadata.

        Raises
        ------
        InputError
            Not two channels.
        GeometryError
            Volumes without affines.
        """
        if inputs.ndim not in (4, 5) or inputs.shape[1] != 2:
            raise InputError(
                f"expected (B, 2, H, W) or (B, 2, I, J, K), found shape {tuple(inputs.shape)}"
            )
        config = EngineConfig(
            plane=self.plane,
            batch_size=self.batch_size,
            local_contrast=self.local_contrast,
            device=_device_of(network),
        )
        engine = Engine(network, config)
        plain = inputs.as_subclass(torch.Tensor)
        if inputs.ndim == 4:
            fused = engine.fuse_slices(plain[:, 0], plain[:, 1]).fused
        else:
            seen = [None] * len(plain) if field_of_view is None else field_of_view[:, 0]
            fused = torch.stack(
                [
                    engine.fuse(pair[0], pair[1], affine, field_of_view=mask).fused
                    for pair, affine, mask in zip(plain, _affines(inputs), seen, strict=True)
                ]
            )
        result: torch.Tensor = fused[:, None].to(inputs.device)
        if isinstance(inputs, MetaTensor):
            result = MetaTensor(result).copy_meta_from(inputs)
        return result


def _device_of(network: torch.nn.Module) -> str:
    device = next(network.parameters()).device
    return str(device) if device.type == "cuda" else device.type


def _affines(inputs: torch.Tensor) -> torch.Tensor:
    if not isinstance(inputs, MetaTensor):
        raise GeometryError(
            "volumes without affines: how their slices lie is not known",
            hint="give a MetaTensor, or slices of shape (B, 2, H, W)",
        )
    affine: torch.Tensor = inputs.affine.cpu()
    return affine if affine.ndim == 3 else affine.expand(len(inputs), 4, 4)
