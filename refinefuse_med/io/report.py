"""The record of a fusion or a registration as a page to read: ``report.html``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refinefuse_med import __version__
from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.wording import RESEARCH_ONLY

__all__ = ["write_report"]

_TEMPLATE = "report.html.j2"


def write_report(
    path: str | Path, record: Mapping[str, Any], pictures: Mapping[str, str | Path] | None = None
) -> Path:
    """Write a page that shows a record; it needs no other file and no network.

    Parameters
    ----------
    path : Path
        An HTML file.
    record : mapping
        What ``result.json`` holds.
    pictures : mapping of str to path, optional
        PNG files to embed, by what they show.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    path = Path(path)
    environment = Environment(
        loader=PackageLoader("refinefuse_med.io", "templates"),
        autoescape=True,  # whatever a header says, it is text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = _show
    embedded = {
        shown: base64.b64encode(Path(file).read_bytes()).decode("ascii")
        for shown, file in (pictures or {}).items()
    }
    page = environment.get_template(_TEMPLATE).render(
        inputs=record.get("inputs", {}),
        registration=_without(record.get("registration", {}), "matrix_fixed_to_moving_lps"),
        matrix=record.get("registration", {}).get("matrix_fixed_to_moving_lps"),
        fusion=record.get("fusion", {}),
        metrics=record.get("metrics", {}),
        warnings=record.get("warnings", []),
        outputs=record.get("outputs", []),
        pictures=embedded,
        version=record.get("version", __version__),
        research_only=RESEARCH_ONLY,
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _without(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def _show(value: object) -> str:
    """A value as it is read: numbers to four digits, lists with a times sign or comma."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {_show(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        numbers = all(isinstance(each, int | float) for each in value)
        return (" × " if numbers else ", ").join(_show(each) for each in value)
    return str(value)


def _words(key: object) -> str:
    return str(key).replace("_", " ")
