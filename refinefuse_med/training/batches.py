"""Training batches, each a function of the seed and the step alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from refinefuse_med.errors import InputError
from refinefuse_med.training.augment import Picture, augment_pair, random_crop
from refinefuse_med.training.config import AugmentConfig, TrainingConfig
from refinefuse_med.training.pairs import SlicePair
from refinefuse_med.training.simulated import TemplateSlices, add_lesion, simulate_pair

__all__ = ["BatchSource"]


class BatchSource:
    """Draws training batches.

    A batch depends on nothing that was drawn before it, so that a run that is taken up
    again sees what it would have seen.

    Parameters
    ----------
    config : TrainingConfig
    pairs : list of SlicePair
        Those to train on; held in memory as uint8.
    """

    def __init__(self, config: TrainingConfig, pairs: list[SlicePair]) -> None:
        self.config = config
        self.real: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for pair in pairs:
            self.real.setdefault(pair.modality, []).append(pair.load())
        shares: dict[str, float] = dict(
            zip(config.data.modalities, config.data.shares, strict=False)
        )
        drawn = np.array([shares.get(modality, 1.0) for modality in sorted(self.real)])
        self._chances = drawn / drawn.sum()
        simulating = config.data.simulated or (config.finish.share and config.finish.simulated)
        self.templates = TemplateSlices.load() if simulating else None
        if not self.real and config.data.simulated < 1:
            raise InputError("every patient is held out for validation: nothing to train on")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw the batch of a step: two float32 (B, 1, N, N) in [0, 1].

        The last ``data.twins`` samples are the first ones again, with a lesion in one source.
        """
        generator = np.random.default_rng([self.config.seed, step])
        twins = self.config.data.twins
        variation = self.config.variation(step)
        drawn = [self._draw(generator, *variation) for _ in range(self.config.batch_size - twins)]
        drawn += [add_lesion(*pair, generator) for pair in drawn[:twins]]
        a, f = (torch.from_numpy(np.stack(side)[:, None]) for side in zip(*drawn, strict=True))
        return a, f

    def _draw(
        self, generator: np.random.Generator, simulated: float, augment: AugmentConfig
    ) -> tuple[Picture, Picture]:
        if self.templates is not None and generator.random() < simulated:
            a, f = simulate_pair(self.templates, generator)
        else:
            # By their shares, however many slices each modality has.
            modality = generator.choice(len(self._chances), p=self._chances)
            pairs = self.real[sorted(self.real)[modality]]
            grey_a, grey_f = pairs[generator.integers(len(pairs))]
            a, f = (x.astype(np.float32) / np.float32(255) for x in (grey_a, grey_f))
        a, f = random_crop(a, f, self.config.data.crop, generator)
        return augment_pair(a, f, augment, generator)
