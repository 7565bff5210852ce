"""Fuse folders of PNG slices that are already registered, pair by pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Literal

import torch
from PIL import Image

from refinefuse_med import __version__, colour
from refinefuse_med.config import EngineConfig, Keep
from refinefuse_med.engine import Engine
from refinefuse_med.io import AtomicFolder
from refinefuse_med.io.pictures import SliceMatch, match_slices, read_picture
from refinefuse_med.network import RefineFuse
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["SLICES_SCHEMA", "fuse_slices"]

SLICES_SCHEMA: Final = 1
"""Version of the schema of the record that `fuse_slices` gives back."""

_PIXELS_IN_MEMORY: Final = 2**23


def fuse_slices(
    anatomical_dir: str | Path,
    functional_dir: str | Path,
    out: str | Path,
    config: EngineConfig | None = None,
    *,
    luminance: bool = False,
    keep: Keep = "chroma",
    if_exists: Literal["fail", "skip", "overwrite"] = "fail",
    monitor: Monitor = SILENT,
    model: RefineFuse | None = None,
) -> dict[str, Any]:
    """Fuse the PNG slices of two folders, and write ``out/STEM.png`` of the same size.

    Grey values keep their meaning: 0 is black and full scale (255, or 65535 in a PNG of
    16 bits) is white in every picture, and no picture is stretched.

    Parameters
    ----------
    anatomical_dir, functional_dir : path
        PNG files, grey or in colour, with any bit depth; an alpha channel is ignored.
    out : path
        The folder to make, whole or not at all.
    config : EngineConfig, optional
        Its plane has no meaning here.
    luminance : bool
        Write the fused luminance, in grey. Otherwise a result is in colour (RGB) where the
        functional slice is.
    keep : {"luminance", "chroma"}
        What is kept where a saturated colour has no room for both; see `colour.recolour`.
    if_exists : {"fail", "skip", "overwrite"}
        ``skip`` has to be settled by the caller, before: see `AtomicFolder.check`.
    monitor : Monitor, optional
    model : RefineFuse, optional
        A network already loaded; otherwise that of ``config.model``.

    Returns
    -------
    dict
        The record: schema, version, fusion, outputs, warnings.

    Raises
    ------
    InputError, NoPairError
        See `match_slices`; or a PNG that cannot be read.
    OutputError
        `out` exists, or cannot be written.
    ModelError, DeviceError
        The network cannot be loaded, or the device is not there.
    """
    started = perf_counter()
    config = config or EngineConfig()
    pairs, warnings = match_slices(anatomical_dir, functional_dir)
    model = model or RefineFuse.from_pretrained(config.model)
    engine = Engine(model, config)
    # Its own progress would start again with each group of slices.
    quiet = Monitor(is_cancelled=monitor.is_cancelled)

    outputs: list[str] = []
    with AtomicFolder(out, if_exists, inputs=(anatomical_dir, functional_dir)) as folder:
        for group in _groups(pairs):
            monitor.update("fuse", len(outputs) / len(pairs))
            anatomical = torch.stack([colour.luminance(_read(p.paths[0])) for p in group])
            functional = torch.stack([_read(p.paths[1]) for p in group])
            chroma_of = functional.unbind()
            run = engine.fuse_slices(
                anatomical, colour.luminance(functional.transpose(0, 1)), quiet
            )
            for pair, fused, rgb in zip(group, run.fused, chroma_of, strict=True):
                coloured = not luminance and bool((rgb != rgb[:1]).any())
                name = f"{pair.paths[1].stem}.png"
                _write(colour.recolour(fused, rgb, keep) if coloured else fused, folder / name)
                outputs.append(name)
            warnings += [text for text in run.warnings if text not in warnings]
        monitor.update("fuse", 1.0)
    weights = model.weights_info()
    return {
        "schema": SLICES_SCHEMA,
        "version": __version__,
        "fusion": {
            "model": weights["name"],
            "weights_sha256": weights["sha256"],
            "local_contrast": config.local_contrast,
            "device": str(engine.device),
            "slices": len(outputs),
            "seconds": round(perf_counter() - started, 3),
        },
        "outputs": sorted(outputs),
        "warnings": warnings,
    }


def _groups(pairs: Sequence[SliceMatch]) -> Iterator[list[SliceMatch]]:
    """Pairs of one size together, as many at a time as memory should hold."""
    by_size: defaultdict[tuple[int, int], list[SliceMatch]] = defaultdict(list)
    for pair in pairs:
        by_size[pair.size].append(pair)
    for (width, height), alike in by_size.items():
        step = max(1, _PIXELS_IN_MEMORY // (width * height))
        for start in range(0, len(alike), step):
            yield alike[start : start + step]


def _read(path: Path) -> torch.Tensor:
    """A picture as RGB, shape (3, H, W), in [0, 1]."""
    return torch.from_numpy(read_picture(path)).movedim(-1, 0)


def _write(picture: torch.Tensor, path: Path) -> None:
    """Write a picture, shape (H, W) or (3, H, W), in [0, 1]."""
    levels = colour.to_bytes(picture)
    array = levels.numpy() if levels.ndim == 2 else levels.movedim(0, -1).contiguous().numpy()
    Image.fromarray(array).save(path)
