"""Reading landmarks: 3D Slicer's ``.mrk.json`` and ``.fcsv``, and plain ``.csv``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.errors import InputError
from refinefuse_med.grid import LPS_FROM_RAS

__all__ = ["LandmarkPairs", "Landmarks", "pair_landmarks", "read_landmarks"]

_CONVENTIONS: Final = {"LPS": "LPS", "1": "LPS", "RAS": "RAS", "0": "RAS"}
"""What Slicer writes for CoordinateSystem; numbers are those of its older versions."""

_COLUMNS: Final = {("l", "p", "s"): "LPS", ("r", "a", "s"): "RAS", ("x", "y", "z"): None}
"""Columns that hold a place, and the convention that their names state."""

_FEWEST_SHARED: Final = 3


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Named points of one scan.

    Attributes
    ----------
    labels : tuple of str
        Empty texts where the file names none.
    points_lps : array, shape (N, 3)
        LPS mm.
    path : str
        Where they are from.
    """

    labels: tuple[str, ...]
    points_lps: NDArray[np.float64]
    path: str = ""

    @property
    def are_named(self) -> bool:
        """Whether every point has a name of its own."""
        return all(self.labels) and len(set(self.labels)) == len(self.labels)


@dataclass(frozen=True, eq=False)
class LandmarkPairs:
    """Points of two scans that belong together.

    Attributes
    ----------
    labels : tuple of str
    fixed_lps, moving_lps : array, shape (N, 3)
        LPS mm.
    warnings : tuple of str
        How they were matched, where that was not by name alone.
    """

    labels: tuple[str, ...]
    fixed_lps: NDArray[np.float64]
    moving_lps: NDArray[np.float64]
    warnings: tuple[str, ...] = ()


def read_landmarks(path: str | Path) -> Landmarks:
    """Read landmarks in mm; whether in LPS or RAS, the file itself has to say.

    ``.mrk.json``: its ``coordinateSystem``. ``.fcsv``: its line ``# CoordinateSystem = LPS``.
    ``.csv``: columns ``l,p,s`` or ``r,a,s``; or ``x,y,z`` under such a line. A column ``label``
    names the points; points that Slicer marks as not placed are left out.

    Raises
    ------
    InputError
        The file cannot be read, holds no points, or does not state its convention.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read as text", where=path) from error
    labels, points, convention = (
        _from_json(text, path) if path.suffix.lower() == ".json" else _from_table(text, path)
    )
    if not points:
        raise InputError("holds no landmarks", where=path)
    if convention not in _CONVENTIONS:
        raise InputError(
            "does not say whether its coordinates are LPS or RAS",
            where=path,
            hint="put the line '# CoordinateSystem = LPS' (or RAS) on top, or name the columns"
            " l,p,s (or r,a,s)",
        )
    places = np.array(points, dtype=np.float64)
    if not np.isfinite(places).all():
        raise InputError("a landmark is not at a finite place", where=path)
    if _CONVENTIONS[convention] == "RAS":
        places = places @ LPS_FROM_RAS[:3, :3]
    return Landmarks(tuple(labels), places, str(path))


def pair_landmarks(fixed: Landmarks, moving: Landmarks) -> LandmarkPairs:
    """Match the landmarks of two scans: by name, or by their order where names do not match.

    Raises
    ------
    InputError
        Neither can be done.
    """
    shared = [label for label in fixed.labels if label in moving.labels]
    if fixed.are_named and moving.are_named and len(shared) >= _FEWEST_SHARED:
        at = [[one.labels.index(label) for label in shared] for one in (fixed, moving)]
        alone = len(fixed.labels) + len(moving.labels) - 2 * len(shared)
        notes = (f"{alone} landmarks have no partner of the same name, and are left out",)
        return LandmarkPairs(
            tuple(shared),
            fixed.points_lps[at[0]],
            moving.points_lps[at[1]],
            notes if alone else (),
        )
    if len(fixed.labels) != len(moving.labels):
        raise InputError(
            f"{len(fixed.labels)} and {len(moving.labels)} landmarks whose names do not match",
            where=f"{fixed.path}, {moving.path}",
            hint="give the points that belong together the same label",
        )
    return LandmarkPairs(
        fixed.labels,
        fixed.points_lps,
        moving.points_lps,
        ("landmarks were matched by their order, since their names do not match",)
        if any(fixed.labels) or any(moving.labels)
        else (),
    )


_Parsed = tuple[list[str], list[list[float]], str]


def _from_json(text: str, path: Path) -> _Parsed:
    try:
        markups = json.loads(text)["markups"]
        [markup] = [each for each in markups if each.get("controlPoints")]
        points = [p for p in markup["controlPoints"] if p.get("positionStatus") != "undefined"]
        return (
            [str(point.get("label", "")) for point in points],
            [[float(value) for value in point["position"]] for point in points],
            str(markup.get("coordinateSystem", "")).upper(),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "is not a Slicer markups file with one list of points", where=path
        ) from error


def _from_table(text: str, path: Path) -> _Parsed:
    convention, columns = "", []
    rows: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            rows.extend([line] if line.strip() else [])
            continue
        name, _, value = (part.strip() for part in line.lstrip("# ").partition("="))
        if name.lower() == "coordinatesystem":
            convention = value.upper()
        elif name.lower() == "columns":
            columns = _names(value.split(","))
    table: Iterable[list[str]] = csv.reader(rows)
    if not columns:
        first, *table = [*table] or [[]]
        columns = _names(first)
    place = next((names for names in _COLUMNS if set(names) <= set(columns)), None)
    if place is None:
        raise InputError(
            "has no columns x,y,z or l,p,s or r,a,s", where=path, hint="name them in the first line"
        )
    labels, points = [], []
    for number, row in enumerate(table, start=1):
        entry: dict[str, Any] = dict(zip(columns, row, strict=False))
        if entry.get("defined", "1").strip() in ("0", "false", "False"):
            continue
        try:
            points.append([float(entry[name]) for name in place])
        except (KeyError, ValueError):
            raise InputError(f"landmark {number} has no three numbers", where=path) from None
        labels.append(entry.get("label", "").strip())
    return labels, points, _COLUMNS[place] or convention


def _names(columns: Iterable[str]) -> list[str]:
    return [name.strip().lower() for name in columns]
