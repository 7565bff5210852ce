"""Simple ways to fuse two pictures, which a network has to beat to have a reason to be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from refinefuse_med.engine.local_contrast import mix_local_contrast
from refinefuse_med.network import RefineFuse
from refinefuse_med.training.validation import Fuse, pixel_maximum

__all__ = ["RIVALS", "laplacian_pyramid", "with_local_contrast"]

_LEVELS = 4


def laplacian_pyramid(anatomical: Tensor, functional: Tensor) -> Tensor:
    """Of each level the stronger coefficient, of the base the brighter (Burt & Adelson, 1983).

    Parameters
    ----------
    anatomical, functional : Tensor, shape (B, 1, H, W), in [0, 1]
    """
    details = []
    a, f = anatomical, functional
    for _ in range(_LEVELS):
        low_a, low_f = _halve(a), _halve(f)
        detail_a, detail_f = a - _double(low_a, a), f - _double(low_f, f)
        details.append(torch.where(detail_a.abs() >= detail_f.abs(), detail_a, detail_f))
        a, f = low_a, low_f
    fused = torch.maximum(a, f)
    for detail in reversed(details):
        fused = _double(fused, detail) + detail
    return fused.clamp(0, 1)


def _halve(x: Tensor) -> Tensor:
    taps = x.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps)[None, None]
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), kernel, stride=2)


def _double(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def with_local_contrast(network: RefineFuse, amount: float, pixel_mm: float) -> Fuse:
    """Give the network with some of the local contrast of both, as ``--local-contrast`` has it."""

    def fuse(anatomical: Tensor, functional: Tensor) -> Tensor:
        _, parts = network.with_contribution(anatomical, functional)
        mixed = mix_local_contrast(parts, anatomical, functional, amount, (pixel_mm, pixel_mm))
        return mixed.sum(dim=1, keepdim=True)

    return fuse


RIVALS: dict[str, Fuse] = {
    "pixel maximum": pixel_maximum,
    "Laplacian pyramid": laplacian_pyramid,
    "mean": lambda a, f: (a + f) / 2,
    "anatomical unchanged": lambda a, f: a,
    "functional unchanged": lambda a, f: f,
}
