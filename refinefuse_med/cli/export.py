"""``refinefuse export``: the network as an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import log, logging_options, model_option, start_logging
from refinefuse_med.errors import OutputError


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--size",
    nargs=2,
    type=click.IntRange(min=1),
    default=(256, 256),
    show_default=True,
    help="Height and width of the pictures, which ONNX fixes.",
)
@model_option
@logging_options
def export(out: Path, size: tuple[int, int], model: Path | None, **options: Any) -> None:
    """Write the network as ONNX to OUT, such as refinefuse.onnx.

    Inputs anatomical and functional, output fused: float32, shape (batch, 1, H, W), in [0, 1].
    The file is run once by ONNX Runtime and written only if it gives what PyTorch gives. Needs
    the extra onnx.
    """
    start_logging(options)
    if out.exists():
        raise OutputError("exists already", where=out, hint="remove it, or name another file")
    # Before the export, which takes its time.
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise OutputError(
            "no folder that can be written", where=out.parent, hint="make it, or write elsewhere"
        )

    from refinefuse_med.io import atomic_file
    from refinefuse_med.network import RefineFuse
    from refinefuse_med.network.export import export_onnx

    network = RefineFuse.from_pretrained(model)
    with atomic_file(out) as partial:
        apart = export_onnx(network, partial, size)
    log.info("%s: as PyTorch to %.1g", out, apart)
