"""What the network is trained to do, without a ground truth: none exists for fusion.

All terms look at the fused picture before it is limited to [0, 1], whose gradient the
limit would stop; what exceeds white is an own term.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refinefuse_med.network.filters import box_mean, gaussian_mean, sobel

__all__ = [
    "FusionLoss",
    "LossWeights",
    "contrast_transfer_loss",
    "edge_transfer_loss",
    "information_loss",
    "scd_loss",
    "signed_gradient_loss",
    "ssim_loss",
]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `FusionLoss`.

    Attributes
    ----------
    intensity : float
        L1 distance to the brighter source.
    gradient : float
        L1 distance to the gradient, with its sign, of the source where it is steeper.
    gradient_gain : float
        What the steeper gradient is multiplied by to be the aim: above 1, edges come out
        crisper than in their source.
    similarity : float
        2 minus the SSIM to both sources.
    difference : float
        2 minus the sum of the correlations of differences: contrast, and what is the
        other source's alone.
    edges : float
        1 minus the edge information transferred (Qabf).
    information : float
        2 minus the visual information fidelity (VIF) to both sources.
    lesions : float
        Relative error of the contrast that a lesion, put into one source alone, has in the
        fused picture.
    overflow : float
        Mean excess over white.
    """

    intensity: float = 2.0
    gradient: float = 10.0
    gradient_gain: float = 1.0
    similarity: float = 1.0
    difference: float = 0.1
    edges: float = 0.0
    information: float = 0.0
    lesions: float = 0.0
    overflow: float = 10.0


class FusionLoss(nn.Module):
    """Weighted sum of the terms; those of weight 0 are not computed.

    Parameters
    ----------
    weights : LossWeights
    """

    def __init__(self, weights: LossWeights = LossWeights()) -> None:
        super().__init__()
        self.weights = asdict(weights)
        self.gradient_gain = self.weights.pop("gradient_gain")

    def forward(
        self, fused: Tensor, a: Tensor, f: Tensor, *, twins: int = 0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a fused picture, and its unweighted terms.

        Parameters
        ----------
        fused : Tensor, shape (B, 1, H, W), 0 or more
        a, f : Tensor, shape (B, 1, H, W), in [0, 1]
        twins : int
            The last so many samples are the first ones again, with a lesion in one source.
        """
        terms = {
            "intensity": lambda: F.l1_loss(fused, torch.maximum(a, f)),
            "gradient": lambda: signed_gradient_loss(fused, a, f, gain=self.gradient_gain),
            "similarity": lambda: ssim_loss(fused, a) + ssim_loss(fused, f),
            "difference": lambda: scd_loss(fused, a, f),
            "edges": lambda: edge_transfer_loss(fused, a, f),
            "information": lambda: information_loss(fused, a) + information_loss(fused, f),
            "lesions": lambda: _of_twins(fused, a + f, twins),
            "overflow": lambda: F.relu(fused - 1).mean(),
        }
        values = {name: term() for name, term in terms.items() if self.weights[name]}
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        return total, {name: value.detach() for name, value in values.items()}


def signed_gradient_loss(fused: Tensor, a: Tensor, f: Tensor, *, gain: float = 1.0) -> Tensor:
    """L1 distance of Sobel gradients to those of the source that is steeper, sign included.

    With the common unsigned maximum an edge may turn round, and overshoots. Both components
    come from the one source, so that the direction of the edge is kept.

    Parameters
    ----------
    fused, a, f : Tensor, shape (B, 1, H, W)
    gain : float
        Multiplies the gradient that is aimed at.
    """
    gradient_a, gradient_f = sobel(a), sobel(f)
    of_a = gradient_a.norm(dim=1, keepdim=True) >= gradient_f.norm(dim=1, keepdim=True)
    steeper = torch.where(of_a, gradient_a, gradient_f)
    return F.l1_loss(sobel(fused), gain * steeper)


def ssim_loss(x: Tensor, y: Tensor, *, window: int = 7) -> Tensor:
    """1 minus the structural similarity of two pictures, in uniform windows.

    Parameters
    ----------
    x, y : Tensor, shape (B, 1, H, W), in [0, 1]
    window : int
        Side of the window; H and W are at least that.
    """
    c1, c2 = 0.01**2, 0.03**2
    moments = box_mean(torch.cat((x, y, x * x, y * y, x * y), dim=1), window)
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


def edge_transfer_loss(fused: Tensor, a: Tensor, f: Tensor) -> Tensor:
    """1 minus the edge information transferred from both sources (Qabf), differentiable.

    Parameters
    ----------
    fused, a, f : Tensor, shape (B, 1, H, W), in [0, 1]

    References
    ----------
    Xydeas & Petrovic, Electronics Letters 36(4), 2000; as
    `refinefuse_med.metrics.fusion.edge_preservation`, but that equal angles across the
    vertical count as equal.
    """
    edges = [sobel(255 * x) for x in (fused, a, f)]
    # The root of 0 has no gradient: a floor of a hundredth of a grey value.
    strengths = [(x.square().sum(dim=1, keepdim=True) + 1e-4).sqrt() for x in edges]

    def kept(source: int) -> Tensor:
        both = strengths[0] * strengths[source]
        relative = torch.minimum(strengths[0], strengths[source]) ** 2 / both
        cosine = (edges[0] * edges[source]).sum(dim=1, keepdim=True) / both
        aligned = 1 - torch.arccos(cosine.abs().clamp(max=0.9999)) / (math.pi / 2)
        return torch.sigmoid(15 * (relative - 0.5)) * torch.sigmoid(22 * (aligned - 0.8))

    weighted = (kept(1) * strengths[1] + kept(2) * strengths[2]).sum(dim=(1, 2, 3))
    return (1 - weighted / (strengths[1] + strengths[2]).sum(dim=(1, 2, 3))).mean()


def information_loss(fused: Tensor, source: Tensor) -> Tensor:
    """1 minus the visual information fidelity (VIF) to one source, averaged over the batch.

    Parameters
    ----------
    fused, source : Tensor, shape (B, 1, H, W), in [0, 1]; H, W >= 41

    References
    ----------
    Sheikh & Bovik, IEEE Transactions on Image Processing 15(2), 2006; as
    `refinefuse_med.metrics.fusion.visual_information_fidelity`.
    """
    noise, floor = 2.0, 1e-3
    x, y = 255 * source, 255 * fused
    kept, total = x.new_zeros(len(x)), x.new_full((len(x),), floor)
    for scale in range(1, 5):
        window = 2 ** (5 - scale) + 1
        if scale > 1:
            x, y = (gaussian_mean(z, window)[..., ::2, ::2] for z in (x, y))
        moments = gaussian_mean(torch.cat((x, y, x * x, y * y, x * y), dim=1), window)
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = moments.chunk(5, dim=1)
        var_x = (mean_xx - mean_x**2).clamp(min=0) + floor
        var_y = (mean_yy - mean_y**2).clamp(min=0) + floor
        gain = ((mean_xy - mean_x * mean_y) / var_x).clamp(min=0)
        residual = (var_y - gain**2 * var_x).clamp(min=floor)
        kept = kept + torch.log1p(gain**2 * var_x / (residual + noise)).sum(dim=(1, 2, 3))
        total = total + torch.log1p(var_x / noise).sum(dim=(1, 2, 3))
    return (1 - kept / total).mean()


def contrast_transfer_loss(fused: Tensor, fused_with: Tensor, change: Tensor) -> Tensor:
    """How far the change that a lesion makes is from that in its source, relative to it.

    Parameters
    ----------
    fused, fused_with : Tensor, shape (B, 1, H, W)
        Without, and with the lesion.
    change : Tensor, shape (B, 1, H, W)
        What the lesion adds to its source; cut where the fused picture has no room for it.
    """
    shown = fused.detach()
    aim = (shown + change).clamp(0, 1) - shown.clamp(0, 1)
    error = (fused_with - fused - aim).abs().sum(dim=(1, 2, 3))
    # A floor keeps a lesion that hardly shows in its source from dominating.
    return (error / (change.abs().sum(dim=(1, 2, 3)) + 1.0)).mean()


def _of_twins(fused: Tensor, sources: Tensor, twins: int) -> Tensor:
    if not twins:
        return fused.new_zeros(())
    return contrast_transfer_loss(fused[:twins], fused[-twins:], sources[-twins:] - sources[:twins])


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = (z.flatten(1) - z.flatten(1).mean(dim=1, keepdim=True) for z in (x, y))
    # A floor of the variance keeps nearly empty pictures from dominating.
    floor = 1e-4
    return (x * y).mean(dim=1) / ((x * x).mean(dim=1) * (y * y).mean(dim=1) + floor**2).sqrt()
