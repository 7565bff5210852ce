"""``refinefuse fuse-slices``: folders of registered PNG slices in, fused slices out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import (
    device_option,
    engine_config,
    if_exists_option,
    keep_option,
    local_contrast_option,
    log,
    logging_options,
    model_option,
    monitor_of,
    out_option,
    print_json,
    start_logging,
    warn_of,
)


@click.command(name="fuse-slices")
@click.argument("anatomical_dir", type=click.Path(path_type=Path))
@click.argument("functional_dir", type=click.Path(path_type=Path))
@out_option
@click.option("--luminance", is_flag=True, help="Write the fused luminance, in grey.")
@keep_option("chroma")
@local_contrast_option
@device_option
@model_option
@if_exists_option
@click.option("--json", "as_json", is_flag=True, help="The result record on stdout.")
@logging_options
def fuse_slices(
    anatomical_dir: Path,
    functional_dir: Path,
    out: Path,
    luminance: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fuse two folders of PNG slices that are already registered.

    Slices are paired by the stem of their names, grey or in pseudo-colour, of any size; each
    result is OUT/STEM.png of the same size, in colour where the functional slice is. For
    research use, not for diagnosis.
    """
    start_logging(options)
    config = engine_config(options)

    from refinefuse_med import io

    if not io.AtomicFolder(out, options["if_exists"]).check():
        log.info("%s is there already: skipped", out)
        return

    from refinefuse_med import slices

    with monitor_of(options) as monitor:
        record = slices.fuse_slices(
            anatomical_dir,
            functional_dir,
            out,
            config,
            luminance=luminance,
            keep=options["keep"],
            if_exists=options["if_exists"],
            monitor=monitor,
        )
    warn_of(record)
    log.info("%d slices; %s", record["fusion"]["slices"], out)
    if as_json:
        print_json(record)
