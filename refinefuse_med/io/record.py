"""Writing records (``result.json``) as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refinefuse_med.io.atomic import atomic_file

__all__ = ["write_json"]


def write_json(record: Mapping[str, Any], path: str | Path) -> Path:
    """Write a record as JSON in the order of its keys, and return `path`.

    Raises
    ------
    OutputError
        The file cannot be written.
    ValueError
        A number is NaN or infinite, which JSON does not have.
    """
    path = Path(path)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path
