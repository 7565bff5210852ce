"""Real, registered slice pairs, split by patient.

A folder holds ``MRI-CT``, ``MRI-PET`` and ``MRI-SPECT``; each of them two folders, ``MRI``
and ``CT``, ``PET`` or ``SPECT``, of pictures of equal size with the same names, which are
``case x 1000 + slice``. Pictures in colour are taken by their luminance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from refinefuse_med.errors import InputError
from refinefuse_med.training.config import DataConfig

__all__ = ["SlicePair", "find_pairs", "split_by_case"]


@dataclass(frozen=True)
class SlicePair:
    """One slice of one patient, seen by two modalities.

    Attributes
    ----------
    modality : str
        Such as ``MRI-PET``.
    case, slice_number : int
        Which patient, and which slice of them.
    anatomical_path, functional_path : Path
        The two pictures.
    """

    modality: str
    case: int
    slice_number: int
    anatomical_path: Path
    functional_path: Path

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read both pictures' luminance, uint8, shape (H, W).

        Raises
        ------
        InputError
            A picture cannot be read, or the two differ in size.
        """
        a, f = _luminance(self.anatomical_path), _luminance(self.functional_path)
        if a.shape != f.shape:
            raise InputError(f"{a.shape} against {f.shape} pixels", where=self.functional_path)
        return a, f


def find_pairs(config: DataConfig) -> list[SlicePair]:
    """List every pair of the chosen modalities, in a fixed order.

    Raises
    ------
    InputError
        The folder is missing, a picture has no partner, or its name is no number.
    """
    return [pair for modality in config.modalities for pair in _of_modality(config.root, modality)]


def split_by_case(
    pairs: Iterable[SlicePair], validation_cases: Iterable[int]
) -> tuple[list[SlicePair], list[SlicePair]]:
    """Split pairs into those to train on, and those of the patients held out."""
    held_out = frozenset(validation_cases)
    training: list[SlicePair] = []
    validation: list[SlicePair] = []
    for pair in pairs:
        (validation if pair.case in held_out else training).append(pair)
    return training, validation


def _of_modality(root: Path, modality: str) -> Iterator[SlicePair]:
    folders = [root / modality / name for name in modality.split("-")]
    anatomical, functional = ({p.stem: p for p in folder.glob("*.png")} for folder in folders)
    if not anatomical:
        raise InputError(
            "no training pictures here",
            where=folders[0],
            hint="set data.root of the recipe, or --data, to the folder of MRI-CT, MRI-PET, ...",
        )
    if alone := sorted(anatomical.keys() ^ functional.keys()):
        raise InputError(f"{alone[0]}.png has no partner", where=root / modality)
    for stem in sorted(anatomical, key=lambda s: (len(s), s)):
        if not stem.isdecimal():
            raise InputError("the name is not case x 1000 + slice", where=anatomical[stem])
        case, slice_number = divmod(int(stem), 1000)
        yield SlicePair(modality, case, slice_number, anatomical[stem], functional[stem])


def _luminance(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError("not a picture", where=path) from error
