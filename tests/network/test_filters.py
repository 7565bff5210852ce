"""The fast filters give what the plain ones give."""

import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from refinefuse_med.network.filters import box_mean, gaussian_mean, sobel

PICTURES = torch.rand(2, 1, 33, 47, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("window", [3, 7])
def test_box_mean_is_pooling(window: int) -> None:
    expected = F.avg_pool2d(PICTURES, window, stride=1)
    torch.testing.assert_close(box_mean(PICTURES, window), expected)


def test_a_gaussian_keeps_a_ramp_and_sums_to_one() -> None:
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    smooth = gaussian_mean(ramp, 9)
    assert smooth.shape == (1, 1, 32, 32)
    torch.testing.assert_close(smooth, ramp[..., 4:-4, 4:-4])


def test_sobel_is_that_of_scipy() -> None:
    picture = PICTURES[0, 0].numpy()
    across, down = sobel(PICTURES)[0].numpy()
    assert across == pytest.approx(ndimage.sobel(picture, axis=1, mode="nearest"), abs=1e-5)
    assert down == pytest.approx(ndimage.sobel(picture, axis=0, mode="nearest"), abs=1e-5)
