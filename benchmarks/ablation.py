"""What each of the paper's ideas is worth: the network without it, trained with the same budget.

    python benchmarks/ablation.py RECIPE FOLDER --out RUNS [--steps 1000]

FOLDER holds MRI-CT, MRI-PET and MRI-SPECT (see `refinefuse_med.training.pairs`). RECIPE is one
of `refinefuse_med/training/recipes`; its patients held out are those measured on. A run that is
cut goes on where its last checkpoint was. Prints a Markdown table for each modality.
"""

from __future__ import annotations

from pathlib import Path

import click
from short_runs import shortened
from tables import print_scores

from refinefuse_med.network import RefineFuse
from refinefuse_med.training.config import load_config
from refinefuse_med.training.loop import train
from refinefuse_med.training.pairs import find_pairs, split_by_case
from refinefuse_med.training.validation import validate

WITHOUT = {
    "whole network": {},
    "without dual attention": {"dual_attention": False},
    "without global attention": {"global_attention": False},
    "without progressive refinement": {"progressive_refinement": False},
}


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--steps", default=1000, show_default=True, help="Of each run.")
@click.option("--stride", default=4, show_default=True, help="Measure on every n-th slice.")
def main(recipe: Path, folder: Path, out: Path, steps: int, stride: int) -> None:
    """Train each variant, and measure it on the patients held out."""
    config = shortened(load_config(recipe), steps, folder)
    held_out = split_by_case(find_pairs(config.data), config.data.validation_cases)[1][::stride]
    scores = {}
    for name, off in WITHOUT.items():
        kinds = {**config.architecture.to_dict(), **off}
        variant = config.model_copy(update={"architecture": type(config.architecture)(**kinds)})
        info = train(variant, out / name.replace(" ", "-"), resume=True)
        network = RefineFuse.from_pretrained(info.path)
        size = sum(p.numel() for p in network.parameters()) / 1e6
        scores[f"{name} ({size:.2f} M)"] = validate(network, held_out)
    print_scores(scores, held_out)


if __name__ == "__main__":
    main()
