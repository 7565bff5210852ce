"""``refinefuse register``: a moving scan on a fixed scan's grid, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from refinefuse_med.cli.options import (
    allow_gaps_option,
    if_exists_option,
    log,
    logging_options,
    method_option,
    monitor_of,
    out_option,
    output_config,
    print_json,
    registration_config,
    report_option,
    seed_option,
    series_option,
    start_logging,
    warn_of,
)
from refinefuse_med.errors import UsageError

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.config import OutputConfig
    from refinefuse_med.progress import Monitor
    from refinefuse_med.results import RegisteredPair, ShownPair

_FILE = click.Path(path_type=Path)


_EXAMPLES = """\b
Examples:
  refinefuse register mr.nii.gz pet_folder -o out
  refinefuse register mr.nii.gz pet2.nii.gz labels.nii.gz -o more --apply out/transform.tfm
  refinefuse register mr.nii.gz ct.nii.gz -o out --landmarks mr.mrk.json ct.mrk.json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("fixed", type=_FILE)
@click.argument("moving", type=_FILE, nargs=-1, required=True)
@out_option
@series_option("--fixed-series", "--anatomical-series")
@series_option("--moving-series", "--functional-series")
@allow_gaps_option
@method_option("--method", "landmarks")
@click.option("--init", type=_FILE, help="Start from this ITK transform; do not search.")
@click.option(
    "--landmarks",
    type=_FILE,
    nargs=2,
    metavar="FIXED_POINTS MOVING_POINTS",
    help="Start from points set in both scans, in mm (Slicer .mrk.json or .fcsv, or .csv); with"
    " --method landmarks they alone decide.",
)
@click.option(
    "--apply",
    "transform",
    type=_FILE,
    metavar="TRANSFORM",
    help="Register nothing: take every MOVING through this ITK transform onto the fixed grid.",
)
@click.option(
    "--labels/--no-labels",
    default=None,
    help="With --apply: MOVING are label maps (nearest value) or not. Found out by default.",
)
@click.option(
    "--control-spacing",
    "control_spacing_mm",
    type=click.FloatRange(10, 200),
    default=30.0,
    show_default=True,
    help="With --method deformable: distance of the control points, mm.",
)
@seed_option
@if_exists_option
@click.option(
    "--preview/--no-preview",
    default=None,
    help="Also write alignment.png: checkerboard, edges before and after.",
)
@report_option
@click.option("--json", "as_json", is_flag=True, help="The result record on stdout.")
@logging_options
def register(
    fixed: Path, moving: tuple[Path, ...], out: Path, as_json: bool, **options: Any
) -> None:
    """Bring MOVING onto FIXED, without fusing.

    OUT holds moving_registered.nii.gz (real units, on the fixed grid), transform.tfm (ITK, maps
    points of fixed to moving) and result.json; displacement.nii.gz too, if deformable. A
    registration judged failed is written all the same, so that it can be looked at; the exit
    status is then 4.
    """
    start_logging(options)
    _check_usage(moving, options)
    output = output_config(options)

    from refinefuse_med import io

    if not io.AtomicFolder(out, output.if_exists, inputs=(fixed, *moving)).check():
        log.info("%s is there already: skipped", out)
        return
    if options["transform"]:
        record = _apply(fixed, moving, out, output, options)
        verdict = None
    else:
        with monitor_of(options) as monitor:
            result = _register(fixed, moving[0], options, monitor)
            from refinefuse_med.output import save_registration

            save_registration(result, out, output, _shown(result, output))
        record, verdict = result.record, result.verdict
    warn_of(record)
    log.info("%s; %s", _summary(record), out)
    if as_json:
        print_json(record)
    if verdict == "failed":
        from refinefuse_med.errors import RegistrationFailedError

        raise RegistrationFailedError(
            "the registration is judged failed", where=out, hint="look at it before any use"
        )


def _shown(result: RegisteredPair, output: OutputConfig) -> ShownPair | None:
    if not (output.preview or output.report):
        return None
    from refinefuse_med.config import ColourConfig
    from refinefuse_med.pipeline import show_pair

    return show_pair(result.fixed, result.registered, result.field_of_view, ColourConfig())


def _check_usage(moving: tuple[Path, ...], options: dict[str, Any]) -> None:
    if options["transform"]:
        for name in ("init", "landmarks", "preview", "report"):
            if options[name]:
                raise UsageError(f"--apply registers nothing, so --{name} has no meaning")
        if options["method"] != "auto":
            raise UsageError("--apply registers nothing, so --method has no meaning")
        return
    if len(moving) > 1:
        raise UsageError(
            f"{len(moving)} moving scans to register",
            hint="register one, and take the others along with --apply TRANSFORM",
        )
    if options["labels"] is not None:
        raise UsageError("--labels goes with --apply", hint="a label map cannot be registered")
    if options["init"] and options["landmarks"]:
        raise UsageError("--init and --landmarks are two starts", hint="give one of them")
    if options["method"] == "landmarks" and not options["landmarks"]:
        raise UsageError("--method landmarks needs --landmarks FIXED_POINTS MOVING_POINTS")
    if options["method"] in ("none", "header") and (options["init"] or options["landmarks"]):
        raise UsageError(
            f"--method {options['method']} takes the coordinates as they are, and has no start",
            hint="to judge a transform as it is, use --apply",
        )


def _load(path: Path, side: Literal["fixed", "moving"], options: dict[str, Any]) -> MetaTensor:
    from refinefuse_med import io

    return io.load_volume(
        path,
        series_uid=options[f"{side}_series"],
        role="anatomical" if side == "fixed" else "functional",
        allow_gaps=options["allow_gaps"],
    )


def _register(
    fixed: Path, moving: Path, options: dict[str, Any], monitor: Monitor
) -> RegisteredPair:
    from refinefuse_med import io, registration
    from refinefuse_med.pipeline import identity_differences, register_pair

    # Whose the scans are is warned of, not refused: nothing is fused here.
    method = options["method"]
    config = registration_config(
        {**options, "force": True, "method": "auto" if method == "landmarks" else method}
    )
    start = io.read_transform(options["init"]) if options["init"] else None
    fit = None
    if options["landmarks"]:
        pairs = io.pair_landmarks(*(io.read_landmarks(path) for path in options["landmarks"]))
        fit = registration.fit_landmarks(pairs.fixed_lps, pairs.moving_lps)
        start = fit.matrix_fixed_to_moving_lps
        log.info("%d landmarks, FRE %.2f mm", len(pairs.labels), fit.fre_mm)
    still = _load(fixed, "fixed", options)
    moved = _load(moving, "moving", options)
    for keyword, values in identity_differences((still, moved)).items():
        log.debug("%s: %s", keyword, " / ".join(values))  # asked for by --verbose alone
    known = None
    if method == "landmarks" and start is not None:
        known = registration.assess(still, moved, start, config, monitor, method=method)
    result = register_pair(still, moved, config, monitor, known, start_fixed_to_moving_lps=start)
    if fit is not None:
        result.record["landmarks"] = {
            "fre_mm": round(fit.fre_mm, 3),
            "points": [
                {"label": label, "residual_mm": round(float(mm), 3)}
                for label, mm in zip(pairs.labels, fit.residuals_mm, strict=True)
            ],
        }
        result.record["warnings"] += [f"landmarks: {text}" for text in pairs.warnings]
    return result


def _apply(
    fixed: Path,
    moving: tuple[Path, ...],
    out: Path,
    output: OutputConfig,
    options: dict[str, Any],
) -> dict[str, Any]:
    from refinefuse_med import io
    from refinefuse_med.applying import apply_transform
    from refinefuse_med.output import save_applied

    transform = io.read_itk_transform(options["transform"])
    if transform.IsLinear():
        transform = io.read_transform(options["transform"])
    still = _load(fixed, "fixed", options)
    volumes = [_load(path, "moving", options) for path in moving]
    with monitor_of(options) as monitor:
        applied = apply_transform(
            still, volumes, transform, labels=options["labels"], monitor=monitor
        )
        save_applied(still, applied, out, output, inputs=(options["transform"],))
    for name, entry in applied.record["applied"].items():
        log.info(
            "%s: %s, %.0f %% of the fixed grid",
            name,
            entry["interpolation"],
            100 * entry["field_of_view"],
        )
    return applied.record


def _summary(record: dict[str, Any]) -> str:
    entry = record["registration"]
    if "verdict" not in entry:
        return "transform applied"
    return f"registration {entry['verdict']} ({entry['method']})"
