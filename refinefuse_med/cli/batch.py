"""``refinefuse batch``: find the pairs in a folder of studies, and fuse each."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refinefuse_med.cli.options import (
    allow_gaps_option,
    fusion_config,
    fusion_options,
    key_option,
    log,
    logging_options,
    out_option,
    output_config,
    print_json,
    start_logging,
)
from refinefuse_med.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from refinefuse_med.batch.journal import Shard
    from refinefuse_med.batch.outcome import BatchResult
    from refinefuse_med.batch.plan import BatchPlan, Scan


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
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Worker processes; by cores and memory."
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work.")
@click.option("--shard", metavar="I/N", help="Do the I-th of N parts: for an array of jobs.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Most time for an attempt at a pair.",
)
@click.option("--resume", is_flag=True, help="Go on with the batch in OUT; so it does anyway.")
@click.option("--watch", is_flag=True, help="Fuse what arrives in ROOT, until Ctrl-C.")
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: a series is complete when no new file has come for so long.",
)
@click.option("--identify", is_flag=True, help="Name patients, series and paths in the report.")
@allow_gaps_option
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
    as_json: bool,
    **options: Any,
) -> None:
    """Fuse every pair of scans under ROOT, each into a folder of its own below OUT.

    Scans are paired within one person: PET or SPECT onto MR, else onto CT; and CT onto MR.
    OUT/index.html shows what became of each, OUT/batch.json and batch.csv hold the same. Run again
    on the same OUT, it does what is missing. Exit status 8: some failed.
    """
    start_logging(options)
    config, output = fusion_config(options), output_config(options, pictures=True)
    shard = _shard(options["shard"])

    from refinefuse_med.batch.plan import make_plan
    from refinefuse_med.batch.watch import Arrivals, plans_of_arrivals
    from refinefuse_med.io.pacs.receiver import UNFINISHED
    from refinefuse_med.pseudonyms import Pseudonyms

    planned = partial(
        make_plan,
        root,
        pairs_file=pairs,
        max_days=max_days,
        pseudonyms=Pseudonyms.from_file(options["key"]),
        exclude=(out, root / UNFINISHED),
        allow_gaps=options["allow_gaps"],
    )
    plan = None if options["watch"] and not dry_run else planned()
    if dry_run:
        assert plan is not None
        if as_json:
            print_json(plan.to_dict())
        else:
            _print_plan(plan)
        return

    from refinefuse_med.batch.session import BatchOptions, run_batch, watch_folder
    from refinefuse_med.cli.batch_progress import stopping, watching

    how = BatchOptions(
        jobs=options["jobs"],
        scheduler=options["scheduler"],
        shard=shard,
        timeout_s=options["timeout"],
        identify=options["identify"],
    )
    with watching(options) as watcher, stopping() as stop:
        if plan is None:
            arrivals = Arrivals(root, options["settle"])
            arrived = partial(planned, is_arriving=arrivals.is_arriving, cache={})
            plans = plans_of_arrivals(arrivals, arrived, lambda: stop.handing_out)
            log.info("watching %s; Ctrl-C ends it", root)
            result = watch_folder(plans, out, config, output, how, watchers=[watcher], stop=stop)
        else:
            result = run_batch(plan, out, config, output, how, watchers=[watcher], stop=stop)
    if as_json:
        print_json({"pairs": [dataclasses.asdict(outcome) for outcome in result.outcomes]})
    else:
        _print_result(result, out)
    if result.stopped or result.interrupted:
        why = result.stopped or "stopped on request"
        level = logging.ERROR if result.stopped else logging.WARNING
        log.log(level, "%s; what is done is kept: run the same command again to go on", why)
    ctx.exit(result.exit_status)


def _shard(text: str | None) -> Shard:
    from refinefuse_med.batch.journal import Shard

    if text is None:
        return Shard()
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UsageError(f"{text!r} is not I/N", where="--shard", hint="such as --shard 1/8")
    return Shard(int(number), int(of))


def _print_plan(plan: BatchPlan) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # A file or a pipe has no width of its own, and 80 characters would break every cell.
    console = Console(width=None if sys.stdout.isatty() else 200)
    title = f"{len(plan.pairs)} pair{'s' if len(plan.pairs) > 1 else ''}"
    table = Table(Column("pair", overflow="fold", min_width=12), title=title, title_justify="left")
    for name in ("anatomical", "functional", "why", "takes about"):
        table.add_column(name, overflow="fold")
    for pair in plan.pairs:
        estimate = pair.estimate
        sides = (_shown(scan, plan.root) for scan in (pair.anatomical, pair.functional))
        takes = f"{estimate.memory_mb / 1000:.1f} GB, {estimate.seconds} s"
        table.add_row(pair.name, *(_cell(text) for text in (*sides, pair.reason, takes)))
    console.print(table)
    if plan.left_out:
        path = Column("path", overflow="fold")
        title = f"{len(plan.left_out)} left out"
        table = Table(path, "modality", "why", title=title, title_justify="left")
        for item in plan.left_out:
            why = f"{item.where}: {item.reason}" if item.where else item.reason
            table.add_row(*(_cell(text) for text in (item.path, item.modality or "", why)))
        console.print(table)
    minutes = sum(pair.estimate.seconds for pair in plan.pairs) / 60
    console.print(
        f"All of it takes about {max(minutes, 0.1):.{0 if minutes >= 10 else 1}f} minutes on one "
        "core (rough estimates). Without --dry-run it is done.",
        highlight=False,
    )


def _shown(scan: Scan, root: Path) -> str:
    """Which scan, what it is worth, and what is damaged beside it."""
    place = scan.path.relative_to(root) if scan.path != root else Path()
    where = f" in {place}" if place.parts else ""
    shape = " x ".join(map(str, scan.shape))
    return "\n".join((f"{scan.modality} {shape}{where}", f"points: {scan.score}", *scan.beside))


def _cell(text: str) -> Text:
    """Text as it is: no markup, and nothing that a terminal would obey."""
    from rich.text import Text

    shown = (char if char.isprintable() or char == "\n" else "�" for char in text)
    return Text("".join(shown))


def _print_result(result: BatchResult, out: Path) -> None:
    counts = Counter(outcome.status for outcome in result.outcomes)
    verdicts = Counter(o.verdict for o in result.outcomes if o.status == "done")
    said = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in sorted(verdicts))
    click.echo(
        f"{counts['done']} of {len(result.outcomes)} pairs done" + (f" ({said})" if said else "")
    )
    for outcome in result.outcomes:
        if outcome.status == "failed":
            click.echo(f"{outcome.name}: {outcome.error}")
    page = out / "index.html"
    if page.exists():  # a watched folder that nothing came into has none
        click.echo(str(page))
