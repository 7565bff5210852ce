"""``refinefuse train``: a recipe and pictures in, weights with their manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import (
    log,
    logging_options,
    monitor_of,
    out_option,
    print_json,
    start_logging,
)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of MRI-CT, MRI-PET and MRI-SPECT; data.root of the recipe by default.",
)
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in OUT.")
@click.option("--json", "as_json", is_flag=True, help="The manifest on stdout.")
@logging_options
def train(
    config: Path, out: Path, data: Path | None, resume: bool, as_json: bool, **options: Any
) -> None:
    """Train a network by the recipe CONFIG, a TOML or JSON file.

    OUT gets the weights (NAME.safetensors with NAME.json), log.jsonl and checkpoints. A stopped
    run goes on with --resume, and ends as if it had not been stopped. The recipe of the weights
    in the package is refinefuse_med/training/recipes/refinefuse-s.toml.
    """
    start_logging(options)

    from refinefuse_med.training.config import load_config
    from refinefuse_med.training.loop import train as run
    from refinefuse_med.training.validation import format_scores

    recipe = load_config(config)
    if data is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"root": data})})

    def report(step: int, measured: dict[str, Any]) -> None:
        log.info("step %d of %d: loss %.4f", step, recipe.steps, measured["loss"])
        if "validation" in measured:
            log.info("%s", format_scores(measured["validation"]))

    with monitor_of(options) as monitor:
        info = run(recipe, out, resume=resume, monitor=monitor, report=report)
    log.info("%s", info.path)
    if as_json:
        print_json(info.manifest)
