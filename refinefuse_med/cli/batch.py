"""``refinefuse batch``: find the pairs in a folder of studies, and fuse each."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refinefuse_med.cli.options import (
    fusion_config,
    fusion_options,
    key_option,
    log,
    logging_options,
    monitor_of,
    out_option,
    output_config,
    print_json,
    start_logging,
)

if TYPE_CHECKING:
    from rich.text import Text

    from refinefuse_med.batch.plan import BatchPlan
    from refinefuse_med.batch.run import BatchResult, PairResult


_PAIRS_HELP = (
    "Table of the pairs to fuse, instead of choosing them: columns anatomical and functional, "
    "each a path below ROOT or a SeriesInstanceUID."
)


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@out_option
@click.option("--pairs", type=click.Path(path_type=Path), metavar="FILE.csv", help=_PAIRS_HELP)
@click.option(
    "--max-days",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    help="Most days between two scans that are paired.",
)
@key_option
@click.option("--dry-run", is_flag=True, help="Print the plan, and fuse nothing.")
@click.option("--resume", is_flag=True, help="Skip the pairs that OUT holds already.")
@fusion_options
@click.option("--json", "as_json", is_flag=True, help="The plan, or the record, on stdout.")
@logging_options
@click.pass_context
def batch(
    ctx: click.Context,
    /,
    root: Path,
    out: Path,
    pairs: Path | None,
    max_days: int,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fuse every pair of scans under ROOT, each into a folder of its own below OUT.

    Scans are paired within one patient: PET or SPECT onto MR, else onto CT; and CT onto MR.
    OUT/batch.json and batch.csv tell what became of each. Exit status 8: some failed.
    """
    start_logging(options)
    if resume:
        options["if_exists"] = "skip"
    config, output = fusion_config(options), output_config(options, pictures=True)

    from refinefuse_med import io
    from refinefuse_med.batch.plan import make_plan
    from refinefuse_med.pseudonyms import Pseudonyms

    if not dry_run and not resume:
        io.AtomicFolder(
            out, "overwrite" if output.if_exists != "fail" else "fail", inputs=(root,)
        ).check()
    plan = make_plan(
        root,
        pairs_file=pairs,
        max_days=max_days,
        pseudonyms=Pseudonyms.from_file(options["key"]),
        exclude=(out,),
    )
    if dry_run:
        if as_json:
            print_json(plan.to_dict())
        else:
            _print_plan(plan)
        return

    from refinefuse_med.batch.run import run_plan
    from refinefuse_med.engine import resolve_device

    resolve_device(config.engine.device)
    with monitor_of(options) as monitor:
        result = run_plan(plan, out, config, output, monitor, _say)
    if as_json:
        print_json({"pairs": [dataclasses.asdict(pair) for pair in result.pairs]})
    else:
        _print_result(result)
    ctx.exit(result.exit_status)


def _say(pair: PairResult) -> None:
    if pair.status == "failed":
        log.error("%s: %s", pair.name, pair.error)
    else:
        log.info("%s: %s %s", pair.name, pair.status, pair.verdict)


def _print_plan(plan: BatchPlan) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # A file or a pipe has no width of its own, and 80 characters would break every cell.
    console = Console(width=None if sys.stdout.isatty() else 200)
    name = Column("pair", overflow="fold")
    table = Table(name, "anatomical", "functional", "why", title=f"{len(plan.pairs)} pairs")
    for pair in plan.pairs:
        sides = (
            f"{scan.modality} {' x '.join(map(str, scan.shape))}\n{scan.score}"
            for scan in (pair.anatomical, pair.functional)
        )
        table.add_row(pair.name, *(_cell(text) for text in (*sides, pair.reason)))
    console.print(table)
    if plan.left_out:
        path = Column("path", overflow="fold")
        table = Table(path, "modality", "why", title=f"{len(plan.left_out)} left out")
        for item in plan.left_out:
            table.add_row(*(_cell(text) for text in (item.path, item.modality or "", item.reason)))
        console.print(table)
    memory = max(pair.estimate.memory_mb for pair in plan.pairs)
    minutes = sum(pair.estimate.seconds for pair in plan.pairs) / 60
    console.print(
        f"Roughly {memory / 1000:.1f} GB a worker at most, and {minutes:.0f} core minutes for all."
    )


def _cell(text: str) -> Text:
    """Text as it is: no markup, and nothing that a terminal would obey."""
    from rich.text import Text

    shown = (char if char.isprintable() or char == "\n" else "�" for char in text)
    return Text("".join(shown))


def _print_result(result: BatchResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("pair", "status", "verdict", "seconds", "error")
    for pair in result.pairs:
        table.add_row(pair.name, pair.status, pair.verdict, f"{pair.seconds:.1f}", pair.error)
    Console().print(table)
