"""Markdown tables, as every benchmark prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refinefuse_med.metrics import FUSION_METRICS
from refinefuse_med.training.pairs import SlicePair
from refinefuse_med.training.validation import Scores

__all__ = ["print_scores", "print_table"]


def print_table(title: str, head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a title and a table, a row for each method."""
    print(f"\n{title}\n\n| | " + " | ".join(head) + " |\n" + "|---" * (1 + len(head)) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_scores(scores: Mapping[str, Scores], pairs: Sequence[SlicePair]) -> None:
    """Print a table of the fusion metrics for each modality, a row for each method."""
    for modality in dict.fromkeys(pair.modality for pair in pairs):
        slices = [pair for pair in pairs if pair.modality == modality]
        patients = len({pair.case for pair in slices})
        noun = "patient" if patients == 1 else "patients"
        rows = {
            name: [f"{score[modality][metric]:.3f}" for metric in FUSION_METRICS]
            for name, score in scores.items()
        }
        print_table(f"{modality}: {len(slices)} slices of {patients} {noun}", FUSION_METRICS, rows)
