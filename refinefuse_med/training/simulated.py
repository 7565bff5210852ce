"""Simulated pairs from the ICBM152 templates: contrasts and lesions no atlas shows.

The templates come with nilearn. A pair is one axial slice given two contrasts: an
anatomical one (T1- or T2-like), and a functional one (CT, PET or SPECT-like). Lesions are
seen by one of the two alone, so that the network learns to keep what only one shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from refinefuse_med.errors import MissingExtraError

__all__ = ["TemplateSlices", "add_lesion", "simulate_pair"]

Picture = NDArray[np.float32]

SIDE = 256
"""Pixels of 1 mm along each side of a simulated slice."""


@dataclass(frozen=True)
class TemplateSlices:
    """Axial slices of the ICBM152 2009a templates, float32 in [0, 1], shape (N, 256, 256).

    Attributes
    ----------
    t1 : array
        T1-weighted intensity, brain only.
    grey, white : array
        Probability of grey and of white matter.
    """

    t1: Picture
    grey: Picture
    white: Picture

    @classmethod
    def load(cls) -> TemplateSlices:
        """Load from nilearn's own files; nothing is fetched.

        Raises
        ------
        MissingExtraError
            nilearn is not installed.
        """
        try:
            from nilearn import datasets
        except ImportError as error:
            raise MissingExtraError(
                "simulated training pairs need nilearn",
                hint="pip install nilearn, or set data.simulated to 0",
            ) from error
        stacks = (
            datasets.load_mni152_template(resolution=1),
            datasets.load_mni152_gm_template(resolution=1),
            datasets.load_mni152_wm_template(resolution=1),
        )
        return cls(*(_to_slices(image.get_fdata(dtype=np.float32)) for image in stacks))


def simulate_pair(
    templates: TemplateSlices, generator: np.random.Generator
) -> tuple[Picture, Picture]:
    """Make one anatomical and one functional slice, float32 in [0, 1], shape (256, 256)."""
    k = int(generator.integers(len(templates.t1)))
    t1, grey, white = templates.t1[k], templates.grey[k], templates.white[k]
    brain = ndimage.binary_fill_holes(t1 > 0.05)
    fluid = np.clip(brain - grey - white, 0.0, 1.0)
    skull, scalp = _shells(brain, generator)

    anatomical = _anatomical(t1, grey, white, fluid, scalp, generator)
    functional = _functional(grey, white, fluid, skull, scalp, generator)
    for _ in range(int(generator.integers(0, 4))):
        lesion = _lesion(brain, generator) * np.float32(generator.uniform(0.3, 1.0))
        level = np.float32(generator.choice([0.0, 0.1, 0.9, 1.0]))
        if generator.random() < 0.75:
            functional += lesion * (level - functional)
        else:
            anatomical += lesion * (level - anatomical)
    return np.clip(anatomical, 0.0, 1.0), np.clip(functional, 0.0, 1.0)


def add_lesion(a: Picture, f: Picture, generator: np.random.Generator) -> tuple[Picture, Picture]:
    """Put a lesion, brighter or darker, into one of two pictures, shape (H, W), in [0, 1]."""
    shape = _lesion(np.maximum(a, f) > 0.1, generator)
    change = np.float32(generator.choice([-1, 1]) * generator.uniform(0.1, 0.6)) * shape
    if generator.random() < 0.5:
        return np.clip(a + change, 0.0, 1.0), f
    return a, np.clip(f + change, 0.0, 1.0)


def _anatomical(
    t1: Picture,
    grey: Picture,
    white: Picture,
    fluid: Picture,
    scalp: Picture,
    generator: np.random.Generator,
) -> Picture:
    if generator.random() < 0.5:
        contrast = t1
    else:
        texture = t1 / np.maximum(ndimage.gaussian_filter(t1, 6.0), 0.1)
        contrast = (0.55 * grey + 0.4 * white) * np.clip(texture, 0.6, 1.4) + 0.95 * fluid
    return (contrast + scalp * generator.uniform(0.3, 0.9)).astype(np.float32)


def _functional(
    grey: Picture,
    white: Picture,
    fluid: Picture,
    skull: Picture,
    scalp: Picture,
    generator: np.random.Generator,
) -> Picture:
    kind = generator.choice(["ct", "pet", "spect"])
    if kind == "ct":
        soft = generator.uniform(0.0, 0.5)
        tissue = grey + 0.85 * white + 0.6 * fluid + 0.5 * scalp
        return np.asarray(skull + soft * tissue, np.float32)
    uptake = (
        generator.uniform(0.5, 1.0) * grey
        + generator.uniform(0.1, 0.4) * white
        + generator.uniform(0.0, 0.1) * (fluid + scalp)
    )
    blur_mm = generator.uniform(1.5, 3.5) if kind == "pet" else generator.uniform(3.0, 6.0)
    return np.asarray(ndimage.gaussian_filter(uptake, blur_mm), np.float32)


def _shells(brain: NDArray[np.bool_], generator: np.random.Generator) -> tuple[Picture, Picture]:
    away = ndimage.distance_transform_edt(~brain)
    gap, bone, skin = generator.uniform((1, 3, 3), (4, 8, 7))
    rings = [
        ((away > inner) & (away <= outer)).astype(np.float32)
        for inner, outer in ((gap, gap + bone), (gap + bone, gap + bone + skin))
    ]
    skull, scalp = (ndimage.gaussian_filter(ring, 0.7) for ring in rings)
    return skull, scalp


def _lesion(brain: NDArray[np.bool_], generator: np.random.Generator) -> Picture:
    inside = np.argwhere(brain)
    if not len(inside):
        return np.zeros(brain.shape, np.float32)
    center = inside[generator.integers(len(inside))]
    radii = generator.uniform(2.0, 14.0, size=2)
    rows, columns = np.ogrid[: brain.shape[0], : brain.shape[1]]
    distance = np.hypot((rows - center[0]) / radii[0], (columns - center[1]) / radii[1])
    softness = generator.uniform(0.05, 0.6)
    return np.asarray(brain * special.expit((1 - distance) * 4 / softness), np.float32)


def _to_slices(volume: Picture) -> Picture:
    """Give the middle axial slices of (I, J, K), anterior up, padded to `SIDE`."""
    depth = volume.shape[2]
    stack = np.ascontiguousarray(volume[:, ::-1, depth // 5 : -depth // 5].transpose(2, 1, 0))
    margins = [(0, 0), *(((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in stack.shape[1:])]
    return np.pad(stack / stack.max(), margins).astype(np.float32)
