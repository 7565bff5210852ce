"""``refinefuse inspect``: what a path holds, what is usable, and why the rest is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from refinefuse_med.cli.options import print_json

if TYPE_CHECKING:
    from refinefuse_med.io.inspection import Inspection, SeriesEntry


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("-v", "--verbose", is_flag=True, help="Also a traceback where something fails.")
def inspect(path: Path, as_json: bool, verbose: bool) -> None:
    """Say what PATH holds: a folder, a zip of one, a NIfTI or a DICOM file.

    Every file is accounted for, in a series or among the skipped. Only headers are read.
    """
    from refinefuse_med.io import inspect_path

    found = inspect_path(path)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_tables(found)


def _print_tables(found: Inspection) -> None:
    from collections import Counter

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if found.series:
        table = Table(show_lines=True)
        for title in ("modality", "description", "files", "shape", "spacing mm", "units", "usable"):
            table.add_column(title, overflow="fold")
        for entry in found.series:
            table.add_row(
                entry.modality,
                escape(entry.description or entry.path),
                str(entry.files),
                " x ".join(str(n) for n in entry.shape),
                " x ".join(f"{size:.3g}" for size in entry.spacing_mm or ()),
                entry.units,
                escape(_verdict(entry)),
            )
        console.print(table)
    for reason, count in Counter(item.reason for item in found.skipped).most_common():
        console.print(f"skipped {count}: {reason}", markup=False, highlight=False)
    usable = sum(entry.usable for entry in found.series)
    console.print(
        f"{usable} of {len(found.series)} series usable, {len(found.skipped)} files skipped",
        markup=False,
        highlight=False,
    )


def _verdict(entry: SeriesEntry) -> str:
    lines = [f"yes, {entry.orientation}" if entry.usable else f"no: {entry.reason}"]
    lines += [f"- {warning}" for warning in entry.warnings]
    if entry.series_instance_uid:
        lines.append(entry.series_instance_uid)
    return "\n".join(lines)
