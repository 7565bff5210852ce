"""Local contrast: what one source alone shows stands out as it does there; nothing else changes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine
from refinefuse_med.engine.local_contrast import SURROUNDINGS_MM, mix_local_contrast

SQUARE = (1.0, 1.0)


def _disc(shape, centre, radius_mm, pixel_mm=SQUARE):
    rows, columns = np.indices(shape)
    away = np.hypot((rows - centre[0]) * pixel_mm[0], (columns - centre[1]) * pixel_mm[1])
    return torch.from_numpy((away < radius_mm).astype(np.float32))


def _mixed(a, f, amount=1.0, pixel_mm=SQUARE):
    """Of parts by which the brighter source wins."""
    a, f = a[None, None], f[None, None]
    parts = torch.cat((torch.where(a >= f, a, 0), torch.where(a < f, f, 0)), dim=1)
    return mix_local_contrast(parts, a, f, amount, pixel_mm)[0]


@pytest.fixture
def bright():
    """Two bright scans that differ: 0.7 and 0.5, over (96, 96)."""
    return torch.full((96, 96), 0.7), torch.full((96, 96), 0.5)


@pytest.mark.parametrize("change", [0.2, -0.2])
def test_a_lesion_in_the_darker_source_stands_out_as_it_does_there(bright, change):
    a, f = bright
    lesion = change * _disc(a.shape, (48, 48), 5)
    by_maximum = torch.maximum(a, f + lesion) - torch.maximum(a, f)
    assert float(by_maximum.abs().max()) < 1e-6, "the brighter source hides it"
    seen = (_mixed(a, f + lesion) - _mixed(a, f)).sum(0)
    assert float(seen[48, 48]) == pytest.approx(change, rel=0.1)
    half = (_mixed(a, f + lesion, 0.5) - _mixed(a, f, 0.5)).sum(0)
    assert float(half[48, 48]) == pytest.approx(change / 2, rel=0.1)


def test_it_is_the_sum_of_both_less_two_fifths_of_their_surroundings():
    draw = torch.Generator().manual_seed(0)
    a = torch.rand(60, 50, generator=draw) * 0.5
    f = torch.rand(60, 50, generator=draw) * 0.5 + 0.3
    pixel_mm = (1.5, 2.5)
    sigmas = [SURROUNDINGS_MM / mm for mm in pixel_mm]

    def surroundings(x):
        blurred, inside = (
            ndimage.gaussian_filter(y, sigmas, mode="constant", truncate=8)
            for y in (x.double().numpy(), np.ones(x.shape))
        )
        return torch.from_numpy(blurred / inside)

    expected = [(x - 0.4 * surroundings(x)).relu() for x in (a, f)]
    over = sum(expected).clamp(min=1)
    for part, whole in zip(_mixed(a, f, 1.0, pixel_mm), expected, strict=True):
        torch.testing.assert_close(part.double(), whole / over, atol=1e-6, rtol=0)


def test_the_surroundings_are_those_in_millimetres():
    coarse = _disc((40, 40), (19.5, 19.5), 12, (2.0, 2.0)) * 0.5
    fine = coarse.repeat_interleave(2, 0).repeat_interleave(4, 1)
    base = torch.full((40, 40), 0.6)
    one = _mixed(base, coarse, 1.0, (2.0, 2.0)).sum(0)
    other = _mixed(torch.full(fine.shape, 0.6), fine, 1.0, (1.0, 0.5)).sum(0)
    means = other.reshape(40, 2, 40, 4).mean(dim=(1, 3))
    assert float((means - one)[8:32, 8:32].abs().max()) < 0.02


def test_equal_sources_black_and_bounds_are_kept():
    draw = torch.Generator().manual_seed(1)
    a, f = torch.rand(2, 64, 64, generator=draw)
    assert torch.equal(_mixed(a, a).sum(0), a), "twice what both show would be false"
    a[:, :20], f[:, :30] = 0, 0
    parts = _mixed(a, f)
    assert float(parts.min()) >= 0
    assert float(parts.sum(0).max()) <= 1 + 1e-6
    assert float(parts[0][a == 0].abs().max()) == float(parts[1][f == 0].abs().max()) == 0


def _engine(model, **config) -> Engine:
    return Engine(model, EngineConfig(device="cpu", **config))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_engine_knows_the_pixels_of_an_oblique_anisotropic_flipped_grid(
    brighter, sources, oblique, plane
):
    a, f = sources
    found = _engine(brighter, plane=plane, local_contrast=0.7).fuse(a, f, oblique)
    spacing = np.linalg.norm(oblique[:3, :3], axis=0)
    assert len(set(spacing.round(3))) == 3
    normal = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    across = list(nib.orientations.io_orientation(oblique)[:, 0]).index(normal)
    rows, columns = (axis for axis in range(3) if axis != across)
    for k in range(a.shape[across]):
        one, other = (x.select(across, k) for x in (a, f))
        expected = _mixed(one, other, 0.7, (spacing[rows], spacing[columns]))
        torch.testing.assert_close(
            found.contribution.select(across + 1, k), expected, atol=1e-5, rtol=0
        )
    torch.testing.assert_close(found.fused, found.contribution.sum(0), atol=1e-6, rtol=0)


def test_none_of_it_is_the_default(brighter, sources):
    affine = np.eye(4)
    plain, none, some = (
        _engine(brighter, **config).fuse(*sources, affine).fused
        for config in ({}, {"local_contrast": 0.0}, {"local_contrast": 0.1})
    )
    assert torch.equal(plain, none)
    assert not torch.equal(plain, some)
