"""Fusion and colour metrics on the patients held out of training, beside those of simple rivals.

    python benchmarks/fusion_quality.py FOLDER [--model WEIGHTS] [--stride N]

FOLDER holds MRI-CT, MRI-PET and MRI-SPECT (see `refinefuse_med.training.pairs`); who is held
out is read from the manifest of the weights. Prints Markdown tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from rivals import RIVALS, with_local_contrast
from tables import print_scores, print_table
from torch import Tensor

from refinefuse_med import colour
from refinefuse_med.metrics.colour import COLOUR_METRICS, evaluate_colour
from refinefuse_med.network import RefineFuse, weights_info
from refinefuse_med.training.config import DataConfig
from refinefuse_med.training.pairs import SlicePair, find_pairs, split_by_case
from refinefuse_med.training.validation import Fuse, validate

Recolour = Callable[[Tensor, Tensor], Tensor]


def clipped(y: Tensor, rgb: Tensor) -> Tensor:
    """The usual way back to RGB: functional chroma, fused luminance, channels clipped."""
    return (rgb - colour.luminance(rgb) + y).clamp(0, 1)


@torch.inference_mode()
def measure_colour(fuse: Fuse, recolour: Recolour, pairs: Sequence[SlicePair]) -> dict[str, float]:
    """Mean colour metrics, and how far the luminance is from the fused one, in grey values."""
    rows = []
    for pair in pairs:
        with Image.open(pair.functional_path) as image:
            levels = np.asarray(image.convert("RGB"), dtype=np.float32)
        rgb = torch.from_numpy(levels / 255).movedim(-1, 0)
        a = torch.from_numpy(pair.load()[0].astype(np.float32) / 255)
        y = fuse(a[None, None], colour.luminance(rgb)[None, None])[0, 0]
        shown = colour.to_bytes(recolour(y, rgb))
        metrics = evaluate_colour(shown.movedim(0, -1).numpy(), levels)
        apart = (colour.luminance(shown.float()) - 255 * y).abs()
        coloured = 255 * colour.chroma(rgb).abs().amax(0) > 8
        if metrics:
            rows.append({**metrics, "luminance error": float(apart[coloured].mean())})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Weights; those in the package.")
@click.option("--stride", default=1, show_default=True, help="Measure on every n-th slice.")
def main(folder: Path, model: Path | None, stride: int) -> None:
    """Measure on the held-out patients of FOLDER."""
    torch.set_num_threads(1)
    info = weights_info(model)
    cases = info.manifest["training"]["recipe"]["data"]["validation_cases"]
    pairs = split_by_case(find_pairs(DataConfig(root=folder)), cases)[1][::stride]
    network = RefineFuse.from_pretrained(model)
    methods: dict[str, Fuse] = {
        f"**{info.name}**": network,
        **{f"local contrast {x:g}": with_local_contrast(network, x, 1.0) for x in (0.25, 0.5, 1.0)},
        **RIVALS,
    }
    print_scores({name: validate(fuse, pairs) for name, fuse in methods.items()}, pairs)

    ways: dict[str, tuple[Fuse, Recolour]] = {
        f"**{info.name}**, chroma kept": (network, lambda y, c: colour.recolour(y, c, "chroma")),
        f"**{info.name}**, luminance kept": (network, colour.recolour),
        f"{info.name}, clipped": (network, clipped),
        "pixel maximum, clipped": (RIVALS["pixel maximum"], clipped),
    }
    for modality in ("MRI-PET", "MRI-SPECT"):
        slices = [pair for pair in pairs if pair.modality == modality]
        found = {name: measure_colour(*way, slices) for name, way in ways.items()}
        head = [*COLOUR_METRICS, "luminance error"]
        rows = {name: [f"{row[h]:.2f}" for h in head] for name, row in found.items()}
        print_table(f"{modality}: colour, on coloured pixels", head, rows)


if __name__ == "__main__":
    main()
