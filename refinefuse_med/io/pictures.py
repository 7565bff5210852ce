"""Folders of PNG slices: matched by stem, and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refinefuse_med.errors import InputError, NoPairError

__all__ = ["SliceMatch", "match_slices", "read_picture"]

_SIXTEEN_BIT_MODES: Final = frozenset({"I;16", "I;16B", "I"})


@dataclass(frozen=True)
class SliceMatch:
    """The pictures of one slice, a folder each, and their size (width, height)."""

    paths: tuple[Path, ...]
    size: tuple[int, int]


def match_slices(*folders: str | Path) -> tuple[list[SliceMatch], list[str]]:
    """Match the PNG files of folders by their stem.

    Parameters
    ----------
    *folders : path
        The anatomical slices first.

    Returns
    -------
    matches : list of SliceMatch
        The stems that all folders have, in order; paths in the order of `folders`.
    warnings : list of str
        Name the files that lack a partner.

    Raises
    ------
    InputError
        Not a folder, not a PNG, or pictures of one slice that differ in size.
    NoPairError
        No stem is in all folders.
    """
    found = [_by_stem(Path(folder)) for folder in folders]
    shared = sorted(set.intersection(*(set(files) for files in found)))
    if not shared:
        raise NoPairError(
            "no PNG slice has a partner of the same name",
            where=", ".join(map(str, folders)),
            hint="name the pictures of a slice alike, such as MRI/001.png and PET/001.png",
        )
    warnings = []
    for folder, files in zip(folders, found, strict=True):
        if lone := sorted(files.keys() - set(shared)):
            names = ", ".join(files[stem].name for stem in lone)
            warnings.append(f"{folder}: no partner for {names}")
    return [_match(tuple(files[stem] for files in found)) for stem in shared], warnings


def read_picture(path: Path) -> NDArray[np.float32]:
    """Read a PNG as RGB, shape (H, W, 3), in [0, 1].

    Full scale (255, or 65535 in a PNG of 16 bits) is 1; an alpha channel is ignored.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with _open(path) as image:
        try:
            if image.mode in _SIXTEEN_BIT_MODES:
                grey = np.asarray(image, dtype=np.float32) / np.float32(65535)
                return np.dstack([grey, grey, grey])
            return np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
        except (OSError, SyntaxError, ValueError) as error:
            raise _unreadable(path) from error


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError("is not a folder", where=folder, hint="give a folder of PNG slices")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(
                f"has the name of {found[path.stem].name}", where=path, hint="rename one of them"
            )
        found[path.stem] = path
    return found


def _match(paths: tuple[Path, ...]) -> SliceMatch:
    size, *others = (_size(path) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if other != size:
            raise InputError(
                f"{other[0]} x {other[1]} pixels, its anatomical partner {size[0]} x {size[1]}",
                where=path,
                hint="bring all to one grid first",
            )
    return SliceMatch(paths, size)


def _size(path: Path) -> tuple[int, int]:
    with _open(path) as image:
        return image.size


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=("PNG",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputError:
    return InputError("is not a readable PNG", where=path, hint="write it again, or remove it")
