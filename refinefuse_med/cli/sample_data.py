"""``refinefuse sample-data``: the simulated sample study, with the exact truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import if_exists_option, log, logging_options, start_logging


@click.command(name="sample-data")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--dicom", is_flag=True, help="A DICOM study of four series instead of NIfTI.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another one: other poses of CT, PET and SPECT, and other noise.",
)
@click.option("--patient", metavar="ID", help="Patient ID of the DICOM study.  [default: SAMPLE]")
@if_exists_option
@logging_options
def sample_data(
    out: Path, dicom: bool, seed: int, patient: str | None, if_exists: Any, **options: Any
) -> None:
    """Write a simulated head as T1 MRI, CT, FDG-PET and perfusion SPECT.

    Each scan lies in a pose and on a grid of its own; truth.json beside them says how they
    belong together. A lesion and a capsule on the skin mark the patient's left. Files:
    mr_t1.nii.gz, ct.nii.gz, pet.nii.gz and spect.nii.gz, or with --dicom the folders MR, CT, PT
    and NM of one study. The files are named on stdout.
    """
    start_logging(options)

    from refinefuse_med import io

    folder = io.AtomicFolder(out, if_exists)
    if not folder.check():
        log.info("%s is there already: skipped", out)
        return

    from refinefuse_med.sample import make_sample

    with folder as partial:
        make_sample(partial, seed=seed, dicom=dicom, patient_id=patient)
        names = sorted(path.name for path in partial.iterdir())
    for name in names:
        click.echo(str(out / name))
