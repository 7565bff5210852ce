"""Measure folders of fused PNG slices against their sources."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from refinefuse_med import __version__
from refinefuse_med.children import in_children
from refinefuse_med.errors import InputError
from refinefuse_med.io import atomic_file
from refinefuse_med.io.pictures import SliceMatch, match_slices, read_picture
from refinefuse_med.metrics import evaluate_fusion
from refinefuse_med.metrics.colour import evaluate_colour, ycbcr
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["EVALUATION_SCHEMA", "evaluate", "values_by_metric", "write_csv"]

EVALUATION_SCHEMA: Final = 1
"""Version of the schema of the record that `evaluate` gives back."""

_SMALLEST: Final = 41
"""Pixels of a side that the four scales of VIF need."""


def evaluate(
    anatomical_dir: str | Path,
    functional_dir: str | Path,
    fused_dir: str | Path,
    *,
    jobs: int | None = None,
    monitor: Monitor = SILENT,
) -> dict[str, Any]:
    """Measure every slice of which all three folders hold a PNG of one stem.

    The fusion metrics are taken on the luminance Y of ITU-R BT.601, rounded to whole grey
    values, as the evaluation code that published tables share does. The colour metrics are
    there where both the functional and the fused slice have colour.

    Parameters
    ----------
    anatomical_dir, functional_dir, fused_dir : path
        PNG files, grey or in colour; 16 bits are brought to [0, 255].
    jobs : int, optional
        Processes; one a core by default.
    monitor : Monitor, optional

    Returns
    -------
    dict
        The record: schema, version, slices (of each its stem and its metrics), mean (of each
        metric, over the slices that have it), warnings.

    Raises
    ------
    InputError
        Not a folder, a PNG that cannot be read or is too small to measure, or pictures of one
        slice that differ in size.
    NoPairError
        No stem is in all three folders.
    """
    matches, warnings = match_slices(anatomical_dir, functional_dir, fused_dir)
    for match in matches:
        if min(match.size) < _SMALLEST:
            raise InputError(
                f"{match.size[0]} x {match.size[1]} pixels are too few to measure",
                where=match.paths[0],
                hint=f"VIF needs {_SMALLEST} x {_SMALLEST}",
            )
    slices: list[dict[str, Any]] = []
    monitor.update("evaluate", 0.0)
    with closing(_measured(matches, jobs or os.cpu_count() or 1)) as measured:
        for match, metrics in zip(matches, measured, strict=True):
            slices.append({"stem": match.paths[0].stem, "metrics": metrics})
            monitor.update("evaluate", len(slices) / len(matches))
    return {
        "schema": EVALUATION_SCHEMA,
        "version": __version__,
        "slices": slices,
        "mean": {name: float(np.mean(v)) for name, v in values_by_metric(slices).items()},
        "warnings": warnings,
    }


def values_by_metric(slices: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """Give of each metric its values, over the slices of a record that have it."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for entry in slices:
        for name, value in entry["metrics"].items():
            values[name].append(value)
    return dict(values)


def write_csv(slices: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Write the slices of a record as a table, a row each; absent metrics stay empty.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["stem", *values_by_metric(slices)])
        table.writeheader()
        table.writerows({"stem": entry["stem"], **entry["metrics"]} for entry in slices)


def _measured(matches: Sequence[SliceMatch], jobs: int) -> Generator[dict[str, float], None, None]:
    if min(jobs, len(matches)) == 1:
        yield from map(_measure, matches)
        return
    yield from in_children(_measure, matches, min(jobs, len(matches)))


def _measure(match: SliceMatch) -> dict[str, float]:
    anatomical, functional, fused = (255 * read_picture(path) for path in match.paths)
    y_anatomical, y_functional, y_fused = (
        np.rint(ycbcr(rgb)[..., 0]) for rgb in (anatomical, functional, fused)
    )
    metrics = evaluate_fusion(y_fused, y_anatomical, y_functional)
    return metrics | evaluate_colour(fused, functional)
