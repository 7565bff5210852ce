"""``refinefuse evaluate``: fused PNG slices measured against their sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import (
    log,
    logging_options,
    monitor_of,
    print_json,
    start_logging,
    warn_of,
)


@click.command()
@click.argument("anatomical_dir", type=click.Path(path_type=Path))
@click.argument("functional_dir", type=click.Path(path_type=Path))
@click.argument("fused_dir", type=click.Path(path_type=Path))
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write each slice's values.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; one a core by default.")
@click.option("--json", "as_json", is_flag=True, help="The record on stdout, not a table.")
@logging_options
def evaluate(
    anatomical_dir: Path,
    functional_dir: Path,
    fused_dir: Path,
    table: Path | None,
    jobs: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure fused PNG slices against both sources.

    Slices are matched by the stem of their names. The fusion metrics (higher is better) look
    at the luminance; the colour metrics (lower is better) compare with the functional slice,
    where both have colour.
    """
    start_logging(options)

    from refinefuse_med import evaluation

    with monitor_of(options) as monitor:
        record = evaluation.evaluate(
            anatomical_dir, functional_dir, fused_dir, jobs=jobs, monitor=monitor
        )
    warn_of(record)
    if as_json:
        print_json(record)
    else:
        _print_table(evaluation.values_by_metric(record["slices"]))
    if table is not None:
        evaluation.write_csv(record["slices"], table)
        log.info("%d slices; %s", len(record["slices"]), table)


def _print_table(values: dict[str, list[float]]) -> None:
    from statistics import fmean, median

    from rich.console import Console
    from rich.table import Table

    from refinefuse_med.metrics.colour import COLOUR_METRICS

    table = Table()
    for title in ("metric", "mean", "median", "slices", "better"):
        table.add_column(title, justify="left" if title in ("metric", "better") else "right")
    for name, numbers in values.items():
        table.add_row(
            name,
            f"{fmean(numbers):.4f}",
            f"{median(numbers):.4f}",
            str(len(numbers)),
            "lower" if name in COLOUR_METRICS else "higher",
        )
    Console().print(table)
