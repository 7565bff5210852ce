"""Variation of training pairs: the same to both where it is geometry, else to each alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.training.config import AugmentConfig

__all__ = ["augment_pair", "random_crop"]

Picture = NDArray[np.float32]

EMPTY = 0.02
"""Mean brightness under which a crop shows little but background."""


def random_crop(
    a: Picture, f: Picture, side: int, generator: np.random.Generator
) -> tuple[Picture, Picture]:
    """Cut one window of `side` pixels out of both, preferring one that shows something.

    Parameters
    ----------
    a, f : array, shape (H, W)
        Padded with black where they are smaller than the window.
    """
    short = [max(side - n, 0) for n in a.shape]
    if any(short):
        margins = [(0, n) for n in short]
        a, f = np.pad(a, margins), np.pad(f, margins)
    for _ in range(4):
        top, left = (int(generator.integers(n - side + 1)) for n in a.shape)
        window = (slice(top, top + side), slice(left, left + side))
        if np.maximum(a[window], f[window]).mean() > EMPTY:
            break
    return a[window], f[window]


def augment_pair(
    a: Picture, f: Picture, config: AugmentConfig, generator: np.random.Generator
) -> tuple[Picture, Picture]:
    """Vary one pair of float32 pictures in [0, 1], shape (N, N), black staying black but for noise.

    Together: mirrored and turned by quarters. Each alone: window, gamma, noise. The
    functional picture alone: shifted by a pixel or two, field of view cut.
    """
    turns, mirrored = int(generator.integers(4)), generator.random() < 0.5
    a, f = (np.rot90(x[:, ::-1] if mirrored else x, turns) for x in (a, f))
    if generator.random() < config.shift_chance:
        offset = generator.integers(-config.shift, config.shift + 1, size=2)
        f = np.roll(f, tuple(int(n) for n in offset), axis=(0, 1))
    if generator.random() < config.cut_chance:
        f = _cut(f, generator)
    a, f = (_window(x, config, generator) for x in (a, f))
    return np.ascontiguousarray(a), np.ascontiguousarray(f)


def _cut(x: Picture, generator: np.random.Generator) -> Picture:
    kept = x.copy()
    edge = int(generator.integers(x.shape[0] // 8, x.shape[0]))
    kept[edge:] = 0.0
    return kept


def _window(x: Picture, config: AugmentConfig, generator: np.random.Generator) -> Picture:
    gain = generator.uniform(1 - config.gain, 1 + config.gain)
    gamma = np.exp(generator.normal(0.0, config.gamma))
    y = np.clip(x * gain, 0.0, 1.0) ** gamma
    if generator.random() < config.noise_chance:
        y = y + generator.normal(0.0, generator.uniform(0.0, config.noise), size=y.shape)
    return np.asarray(np.clip(y, 0.0, 1.0), np.float32)
