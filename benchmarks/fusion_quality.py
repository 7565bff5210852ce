"""Fusion metrics on the patients held out of training, beside those of simple rivals.

    python benchmarks/fusion_quality.py FOLDER [--model WEIGHTS] [--stride N]

FOLDER holds MRI-CT, MRI-PET and MRI-SPECT (see `refinefuse_med.training.pairs`); who is held
out is read from the manifest of the weights. Prints Markdown tables.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from refinefuse_med.metrics import FUSION_METRICS
from refinefuse_med.network import RefineFuse, weights_info
from refinefuse_med.training.config import DataConfig
from refinefuse_med.training.pairs import find_pairs, split_by_case
from refinefuse_med.training.validation import Fuse, pixel_maximum, validate


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
    methods: dict[str, Fuse] = {
        f"**{info.name}**": RefineFuse.from_pretrained(model),
        "pixel maximum": pixel_maximum,
        "mean": lambda a, f: (a + f) / 2,
        "anatomical unchanged": lambda a, f: a,
        "functional unchanged": lambda a, f: f,
    }
    scores = {name: validate(fuse, pairs) for name, fuse in methods.items()}
    for modality in scores["pixel maximum"]:
        slices = [pair for pair in pairs if pair.modality == modality]
        patients = len({pair.case for pair in slices})
        noun = "patient" if patients == 1 else "patients"
        print(f"\n{modality}: {len(slices)} slices of {patients} {noun}\n")
        print("| | " + " | ".join(FUSION_METRICS) + " |")
        print("|---" * (1 + len(FUSION_METRICS)) + "|")
        for name, score in scores.items():
            row = " | ".join(f"{score[modality][metric]:.3f}" for metric in FUSION_METRICS)
            print(f"| {name} | {row} |")


if __name__ == "__main__":
    main()
