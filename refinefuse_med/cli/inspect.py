"""``refinefuse inspect``: what a path holds, what is usable, and why the rest is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from refinefuse_med.cli.options import monitor_of, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from refinefuse_med.io.inspection import Inspection, SeriesEntry

_PLANES: Final = {
    **dict.fromkeys("SI", "axial"),
    **dict.fromkeys("AP", "coronal"),
    **dict.fromkeys("LR", "sagittal"),
}
"""What slices are called that follow each other along an axis."""

_SHOWN: Final = 6
"""Volumes of one series that the table lists."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@click.option("-v", "--verbose", is_flag=True, help="Also a traceback where something fails.")
def inspect(path: Path, as_json: bool, no_progress: bool, verbose: bool) -> None:
    """Say what PATH holds: a folder, a zip of one, a NIfTI or a DICOM file.

    Every file is accounted for, in a series or among the skipped. Only headers are read.
    """
    from refinefuse_med.io import inspect_path

    with monitor_of({"quiet": False, "log_json": False, "no_progress": no_progress}) as monitor:
        found = inspect_path(path, monitor)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_tables(found)


def _print_tables(found: Inspection) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(show_lines=True)
    for title in ("series", "files", "grid", "units", "usable"):
        table.add_column(title, overflow="fold")
    for entry in found.series:
        cells = (
            f"{entry.modality} {entry.description or entry.path}",
            str(entry.files),
            _grid(entry),
            entry.units,
            _verdict(entry),
        )
        table.add_row(*(escape(cell) for cell in cells))
    if found.series:
        console.print(table)
    names: dict[str, list[str]] = {}
    for item in found.skipped:
        names.setdefault(item.reason, []).append(item.name)
    for reason, files in names.items():
        shown = ", ".join(files[:3]) + (", ..." if len(files) > 3 else "")
        _print(console, f"skipped {len(files)}: {reason} ({shown})")
    usable = sum(entry.usable for entry in found.series)
    _print(
        console,
        f"{usable} of {len(found.series)} series usable, {len(found.skipped)} files skipped",
    )


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _grid(entry: SeriesEntry) -> str:
    shape = " x ".join(str(n) for n in entry.shape)
    if entry.spacing_mm is None or entry.orientation is None:
        return shape
    spacing = " x ".join(f"{size:.3g}" for size in entry.spacing_mm)
    return f"{shape}, {_PLANES[entry.orientation[2]]}\n{spacing} mm"


def _verdict(entry: SeriesEntry) -> str:
    uid = entry.series_instance_uid
    what = "UID" if uid else ""
    lines = ["yes" if entry.usable else f"no: {entry.reason}"]
    if entry.volumes:
        lines = [f"{len(entry.volumes)} volumes: choose one with --functional-series {what}#N"]
    shown = entry.volumes if len(entry.volumes) <= _SHOWN else entry.volumes[: _SHOWN - 1]
    lines += [f"#{number} {label}" for number, label in enumerate(shown, 1)]
    if len(shown) < len(entry.volumes):
        lines.append(f"... to #{len(entry.volumes)} {entry.volumes[-1]}")
    lines += [f"- {warning}" for warning in entry.warnings]
    return "\n".join([*lines, uid] if uid else lines)
