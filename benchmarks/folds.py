"""How the recipe does on patients it has not seen: cross-validation by patient.

    python benchmarks/folds.py RECIPE FOLDER --out RUNS [--folds 3] [--steps 1000]

Each patient is held out in one fold, in every modality they appear in, and a network is trained
on the others. A run that is cut goes on where its last checkpoint was. Prints, for each modality,
the mean over all slices, the lowest and the highest mean of a patient, and the pixel maximum.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from short_runs import shortened
from tables import print_table

from refinefuse_med.metrics import FUSION_METRICS
from refinefuse_med.network import RefineFuse
from refinefuse_med.training.config import load_config
from refinefuse_med.training.loop import train
from refinefuse_med.training.pairs import SlicePair, find_pairs, split_by_case
from refinefuse_med.training.validation import Fuse, Scores, pixel_maximum, validate

PerPatient = dict[tuple[str, int], tuple[int, dict[str, float]]]
"""Modality and patient to number of slices and mean scores."""


def by_patient(fuse: Fuse, pairs: list[SlicePair]) -> PerPatient:
    """Measure each patient alone."""
    groups: defaultdict[tuple[str, int], list[SlicePair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.modality, pair.case].append(pair)
    found: PerPatient = {}
    for (modality, case), slices in groups.items():
        scores: Scores = validate(fuse, slices)
        found[modality, case] = (len(slices), scores[modality])
    return found


@click.command()
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--folds", default=3, show_default=True)
@click.option("--steps", default=1000, show_default=True, help="Of each run.")
@click.option("--stride", default=6, show_default=True, help="Measure on every n-th slice.")
def main(recipe: Path, folder: Path, out: Path, folds: int, steps: int, stride: int) -> None:
    """Train and measure a network for each fold."""
    config = shortened(load_config(recipe), steps, folder)
    data = config.data
    pairs = find_pairs(data)
    cases = sorted({pair.case for pair in pairs})
    network_scores: PerPatient = {}
    rival_scores: PerPatient = {}
    for fold in range(folds):
        held = tuple(cases[fold::folds])
        variant = config.model_copy(
            update={"data": data.model_copy(update={"validation_cases": held})}
        )
        info = train(variant, out / f"fold-{fold}", resume=True)
        measured_on = split_by_case(pairs, held)[1][::stride]
        network_scores |= by_patient(RefineFuse.from_pretrained(info.path), measured_on)
        rival_scores |= by_patient(pixel_maximum, measured_on)
    for modality in data.modalities:
        rows = {}
        for name, found in (("network", network_scores), ("pixel maximum", rival_scores)):
            of = [entry for (kind, _), entry in found.items() if kind == modality]
            weights = [count for count, _ in of]
            cells = []
            for metric in FUSION_METRICS:
                values = [scores[metric] for _, scores in of]
                mean = np.average(values, weights=weights)
                cells.append(f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})")
            rows[name] = cells
        print_table(
            f"{modality}: {len(of)} patients, {sum(weights)} slices", list(FUSION_METRICS), rows
        )


if __name__ == "__main__":
    main()
