"""Colour differences against published values and known truth."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from refinefuse_med.metrics.colour import COLOUR_METRICS, ciede2000, evaluate_colour, lab, ycbcr

# Sharma, Wu & Dalal 2005, table 1: L, a, b of both colours, and their CIEDE2000.
SHARMA = np.loadtxt(
    io.StringIO("""
50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
 6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
 2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
""")
)


def test_ciede2000_gives_the_published_values_either_way_round():
    first, second, expected = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]
    np.testing.assert_allclose(ciede2000(first, second), expected, atol=5e-5)
    np.testing.assert_allclose(ciede2000(second, first), expected, atol=5e-5)


def test_lab_of_the_primaries_and_of_greys():
    primaries = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    expected = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    # Tables differ by the digits of the sRGB matrix.
    np.testing.assert_allclose(lab(primaries), expected, atol=0.03)
    greys = lab(np.repeat(np.arange(256), 3).reshape(-1, 3))
    np.testing.assert_allclose(greys[[0, 255], 0], [0, 100], atol=1e-9)
    np.testing.assert_allclose(greys[:, 1:], 0, atol=1e-9)


def test_ycbcr_is_that_of_jpeg():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    jpeg = np.asarray(Image.fromarray(rgb).convert("YCbCr"), dtype=float) - (0, 128, 128)
    np.testing.assert_allclose(ycbcr(rgb), jpeg, atol=1.01)


def _half_coloured() -> np.ndarray:
    picture = np.zeros((8, 8, 3))
    picture[:, :4] = (180, 60, 20)
    return picture


def test_the_same_colours_have_no_error():
    assert evaluate_colour(_half_coloured(), _half_coloured()) == dict.fromkeys(COLOUR_METRICS, 0)


def test_a_change_of_luminance_alone_is_no_chroma_error():
    metrics = evaluate_colour(_half_coloured() + 40, _half_coloured())
    assert metrics["CbCr error"] == pytest.approx(0, abs=1e-9)
    assert metrics["CIEDE2000"] > 5


def test_chroma_error_is_the_mean_over_coloured_pixels_alone():
    functional = _half_coloured()
    grey = np.repeat(ycbcr(functional)[..., :1], 3, axis=-1)
    fused = grey + (functional - grey) / 2
    fused[:, 4:] = (10, 200, 10)
    expected = np.abs(ycbcr(functional)[0, 0, 1:]).mean() / 2
    assert evaluate_colour(fused, functional)["CbCr error"] == pytest.approx(expected)


@pytest.mark.parametrize("functional", [(90, 90, 90), (94, 90, 86)])
def test_a_functional_source_without_colour_has_no_colour_metrics(functional):
    assert evaluate_colour(_half_coloured(), np.full((8, 8, 3), functional)) == {}


def test_a_grey_fused_picture_has_no_colour_metrics():
    assert evaluate_colour(np.full((8, 8, 3), 90), _half_coloured()) == {}


def test_a_pixel_at_the_threshold_is_not_decided_by_the_last_bit():
    functional = _half_coloured()
    functional[:, 4:] = (0, 0, 16)
    fused = np.where(functional == 16, 90, functional)
    for noise in (-1e-6, 0, 1e-6):
        assert evaluate_colour(fused, functional + noise)["CbCr error"] < 1e-3
