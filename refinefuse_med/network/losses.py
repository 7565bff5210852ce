"""What the network is trained to do, without a ground truth: none exists for fusion.

All terms look at the fused picture before it is limited to [0, 1], whose gradient the
limit would stop; what exceeds white is an own term.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FusionLoss", "LossWeights", "scd_loss", "signed_gradient_loss", "ssim_loss"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `FusionLoss`.

    Attributes
    ----------
    intensity : float
        L1 distance to the brighter source.
    gradient : float
        L1 distance to the gradient, with its sign, of the source where it is steeper.
    similarity : float
        2 minus the SSIM to both sources.
    difference : float
        2 minus the sum of the correlations of differences: contrast, and what is the
        other source's alone.
    overflow : float
        Mean excess over white.
    """

    intensity: float = 2.0
    gradient: float = 8.0
    similarity: float = 1.0
    difference: float = 0.1
    overflow: float = 10.0


class FusionLoss(nn.Module):
    """Weighted sum of the terms.

    Parameters
    ----------
    weights : LossWeights
    """

    def __init__(self, weights: LossWeights = LossWeights()) -> None:
        super().__init__()
        self.weights = asdict(weights)

    def forward(self, fused: Tensor, a: Tensor, f: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a fused picture, and its unweighted terms.

        Parameters
        ----------
        fused : Tensor, shape (B, 1, H, W), 0 or more
        a, f : Tensor, shape (B, 1, H, W), in [0, 1]
        """
        terms = {
            "intensity": F.l1_loss(fused, torch.maximum(a, f)),
            "gradient": signed_gradient_loss(fused, a, f),
            "similarity": ssim_loss(fused, a) + ssim_loss(fused, f),
            "difference": scd_loss(fused, a, f),
            "overflow": F.relu(fused - 1).mean(),
        }
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}


def signed_gradient_loss(fused: Tensor, a: Tensor, f: Tensor) -> Tensor:
    """L1 distance of Sobel gradients to those of the source that is steeper, sign included.

    With the common unsigned maximum an edge may turn round, and overshoots. Both components
    come from the one source, so that the direction of the edge is kept.

    Parameters
    ----------
    fused, a, f : Tensor, shape (B, 1, H, W)
    """
    gradient_a, gradient_f = _sobel(a), _sobel(f)
    of_a = gradient_a.norm(dim=1, keepdim=True) >= gradient_f.norm(dim=1, keepdim=True)
    steeper = torch.where(of_a, gradient_a, gradient_f)
    return F.l1_loss(_sobel(fused), steeper)


def ssim_loss(x: Tensor, y: Tensor, *, window: int = 7) -> Tensor:
    """1 minus the structural similarity of two pictures, in uniform windows.

    Parameters
    ----------
    x, y : Tensor, shape (B, 1, H, W), in [0, 1]
    window : int
        Side of the window; H and W are at least that.
    """
    c1, c2 = 0.01**2, 0.03**2
    moments = F.avg_pool2d(torch.cat((x, y, x * x, y * y, x * y), dim=1), window, stride=1)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = moments.chunk(5, dim=1)
    var_x, var_y = mean_xx - mean_x**2, mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return 1 - similarity.mean()


def scd_loss(fused: Tensor, a: Tensor, f: Tensor) -> Tensor:
    """2 minus the sum of the correlations of differences, averaged over the batch.

    Parameters
    ----------
    fused, a, f : Tensor, shape (B, 1, H, W)

    References
    ----------
    Aslantas & Bendes, AEU 69(12), 2015.
    """
    return (2 - _correlation(fused - f, a) - _correlation(fused - a, f)).mean()


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = (z.flatten(1) - z.flatten(1).mean(dim=1, keepdim=True) for z in (x, y))
    # A floor of the variance keeps nearly empty pictures from dominating.
    floor = 1e-4
    return (x * y).mean(dim=1) / ((x * x).mean(dim=1) * (y * y).mean(dim=1) + floor**2).sqrt()


def _sobel(x: Tensor) -> Tensor:
    along_x = x.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack((along_x, along_x.T)).unsqueeze(1)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels)
