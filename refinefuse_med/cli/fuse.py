"""``refinefuse fuse``: two scans in, one fused volume out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from refinefuse_med.cli.options import (
    allow_gaps_option,
    fusion_config,
    fusion_options,
    key_option,
    log,
    logging_options,
    monitor_of,
    out_option,
    output_config,
    print_json,
    series_option,
    start_logging,
    warn_of,
)

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.progress import Monitor

_MODALITIES = click.Choice(["MR", "CT", "PT", "NM"])


@click.command()
@click.argument("anatomical", type=click.Path(path_type=Path))
@click.argument("functional", type=click.Path(path_type=Path))
@out_option
@series_option("--anatomical-series")
@series_option("--functional-series")
@click.option("--anatomical-modality", type=_MODALITIES, help="Where a NIfTI file does not say.")
@click.option("--functional-modality", type=_MODALITIES, help="Where a NIfTI file does not say.")
@click.option(
    "--functional-palette",
    type=click.Choice(["hot_iron", "pet", "hot_metal_blue", "pet_20_step"]),
    help="Where the functional scan is a colour picture: the palette to read its values from.",
)
@allow_gaps_option
@fusion_options
@key_option
@click.option("--json", "as_json", is_flag=True, help="The result record on stdout.")
@logging_options
def fuse(anatomical: Path, functional: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Register and fuse two scans of one patient.

    ANATOMICAL (MR, or CT with a PET) and FUNCTIONAL (PET, SPECT, or the CT of an MR) are each
    a NIfTI file, a DICOM folder, one DICOM file, or a zip of a folder. The result lies on the
    anatomical grid. For research use, not for diagnosis.
    """
    start_logging(options)
    config, output = fusion_config(options), output_config(options)

    from refinefuse_med import io
    from refinefuse_med.colour import uncolour
    from refinefuse_med.engine import resolve_device

    # What is wrong with the place or the device is known now, not after the registration.
    if not io.AtomicFolder(out, output.if_exists, inputs=(anatomical, functional)).check():
        log.info("%s is there already: skipped", out)
        return
    resolve_device(config.engine.device)

    from refinefuse_med.output import save_result
    from refinefuse_med.pipeline import fuse_pair

    with monitor_of(options) as monitor:
        fixed = _load(anatomical, "anatomical", options, monitor)
        moving = _load(functional, "functional", options, monitor)
        if options["functional_palette"]:
            moving = uncolour(moving, options["functional_palette"])
        result = fuse_pair(fixed, moving, config, monitor)
        save_result(result, out, output)
    warn_of(result.record)
    log.info(
        "registration %s (%s); %s", result.registration.verdict, result.registration.method, out
    )
    if as_json:
        print_json(result.record)


def _load(
    path: Path,
    role: Literal["anatomical", "functional"],
    options: dict[str, Any],
    monitor: Monitor,
) -> MetaTensor:
    from refinefuse_med.io import load_volume

    return load_volume(
        path,
        series_uid=options[f"{role}_series"],
        modality=options[f"{role}_modality"],
        role=role,
        allow_gaps=options["allow_gaps"],
        monitor=monitor,
    )
