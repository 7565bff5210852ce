"""``refinefuse info``: versions, devices and weights, for a bug report."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import click

from refinefuse_med import __version__
from refinefuse_med.cli.options import print_json

_LIBRARIES = ("torch", "monai", "numpy", "nibabel", "pydicom", "SimpleITK", "napari")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def info(as_json: bool) -> None:
    """Versions, devices and weights, for a bug report."""
    record = _gather()
    if as_json:
        print_json(record)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, value in record.items():
        text = value if isinstance(value, str) else ", ".join(_pairs(value))
        table.add_row(name.replace("_", " "), text)
    Console().print(table)


def _pairs(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name} {content}" for name, content in value.items()]
    return [str(item) for item in value]


def _gather() -> dict[str, Any]:
    import torch

    from refinefuse_med.engine import resolve_device
    from refinefuse_med.network import RefineFuse

    devices = ["cpu"]
    devices += [
        f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())
    ]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return {
        "refinefuse_med": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "devices": devices,
        "device_auto": str(resolve_device("auto")),
        "weights": dict(RefineFuse.from_pretrained().weights_info()),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
