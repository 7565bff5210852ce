"""``refinefuse register``: a moving scan on a fixed scan's grid, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import (
    if_exists_option,
    log,
    logging_options,
    method_option,
    monitor_of,
    out_option,
    output_config,
    print_json,
    registration_config,
    seed_option,
    start_logging,
    warn_of,
)


@click.command()
@click.argument("fixed", type=click.Path(path_type=Path))
@click.argument("moving", type=click.Path(path_type=Path))
@out_option
@click.option("--fixed-series", "--anatomical-series", metavar="UID", help="The series to take.")
@click.option("--moving-series", "--functional-series", metavar="UID", help="The series to take.")
@method_option("--method")
@seed_option
@if_exists_option
@click.option("--json", "as_json", is_flag=True, help="The result record on stdout.")
@logging_options
def register(
    fixed: Path,
    moving: Path,
    out: Path,
    fixed_series: str | None,
    moving_series: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Bring MOVING onto FIXED, without fusing.

    OUT holds moving_registered.nii.gz (real units, on the fixed grid), transform.tfm (ITK, maps
    points of fixed to moving) and result.json. A registration judged failed is written all the
    same, so that it can be looked at; the exit status is then 4.
    """
    start_logging(options)
    config, output = registration_config(options), output_config(options)

    from refinefuse_med import io

    if not io.AtomicFolder(out, output.if_exists, inputs=(fixed, moving)).check():
        log.info("%s is there already: skipped", out)
        return

    from refinefuse_med.errors import RegistrationFailedError
    from refinefuse_med.output import save_registration
    from refinefuse_med.pipeline import register_pair

    still = io.load_volume(fixed, series_uid=fixed_series, role="anatomical")
    moved = io.load_volume(moving, series_uid=moving_series, role="functional")
    with monitor_of(options) as monitor:
        result = register_pair(still, moved, config, monitor)
    save_registration(result, out, output)
    warn_of(result.record)
    log.info("registration %s (%s); %s", result.verdict, result.registration.method, out)
    if as_json:
        print_json(result.record)
    if result.verdict == "failed":
        raise RegistrationFailedError(
            "the registration is judged failed", where=out, hint="look at it before any use"
        )
