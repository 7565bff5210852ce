"""``python -m refinefuse_med.bundle`` prints where the bundle lies."""

from pathlib import Path

import click

click.echo(Path(__file__).parent)
