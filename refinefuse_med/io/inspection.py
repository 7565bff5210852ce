"""Tell what is under a path, which of it can be fused, and why the rest cannot.

Reads headers alone and imports no torch, so that it is quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.grid import LPS_FROM_RAS, Grid
from refinefuse_med.io.archive import is_zip, unpacked
from refinefuse_med.io.dicom_plan import Plan, plans
from refinefuse_med.io.discovery import (
    NIFTI_SUFFIXES,
    Discovery,
    FoundFile,
    Stack,
    discover,
    gathered,
    stacks_of,
)
from refinefuse_med.io.elements import integer, text
from refinefuse_med.io.frames import frame_count, frames_of
from refinefuse_med.io.geometry import place_numbers
from refinefuse_med.io.identity import Identity, identity_of, identity_of_file
from refinefuse_med.io.images import Skipped, is_index, read_image
from refinefuse_med.io.nifti_header import plan_nifti
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["Inspection", "SeriesEntry", "inspect_files", "inspect_found", "inspect_path"]

_SINGLE_SLICE = "a single slice is not a volume"
_COLOUR = "a colour picture has no values to fuse, unless --functional-palette says what it shows"


@dataclass(frozen=True)
class SeriesEntry:
    """One series, or the part of one that could make a volume.

    Attributes
    ----------
    path : str
        Folder (or file, for NIfTI and multi-frame DICOM) that holds it, below what was inspected.
    series_instance_uid, frame_of_reference_uid : str or None
        None where there is none, as in NIfTI.
    modality, units, description : str
        Modality and units as in `refinefuse_med.volume.Keys`; SeriesDescription.
    files : int
        Number of files, duplicates included.
    shape : tuple of int
        I, J, K, and the number of images at each position where that is more than one.
    spacing_mm : tuple of float or None
        None where the series makes no grid.
    orientation : str or None
        Nearest anatomical axis codes, such as ``LPS``.
    usable : bool
        Whether it can be fused.
    reason : str
        Why not; empty if usable.
    warnings : tuple of str
        What a reader will assume or mend.
    volumes : tuple of str
        Where there are several in the series: what each is. The Nth is chosen with ``UID#N``.
    identity : Identity
        To pair series by; not in `to_dict`, since it may name a person.
    beside : tuple of str
        Those of `warnings` that are about damaged files which are none of its own; not in
        `to_dict`.
    where : str
        The file that `reason` begins with; not in `to_dict`.
    names : tuple of str
        The files of a DICOM series, below what was inspected; not in `to_dict`.
    """

    path: str
    series_instance_uid: str | None
    modality: str
    description: str
    files: int
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    orientation: str | None
    frame_of_reference_uid: str | None
    units: str
    usable: bool
    reason: str = ""
    warnings: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    identity: Identity = field(default=Identity(), repr=False)
    beside: tuple[str, ...] = field(default=(), repr=False)
    where: str = field(default="", repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON holds it."""
        return {
            "series_instance_uid": self.series_instance_uid,
            "modality": self.modality,
            "description": self.description,
            "path": self.path,
            "files": self.files,
            "shape": list(self.shape),
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "orientation": self.orientation,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "units": self.units,
            "usable": self.usable,
            "reason": self.reason,
            "warnings": list(self.warnings),
            "volumes": list(self.volumes),
        }


@dataclass(frozen=True)
class Inspection:
    """Every file under a path: in one of `series`, or in `skipped`."""

    series: tuple[SeriesEntry, ...]
    skipped: tuple[Skipped, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record that ``refinefuse inspect --json`` prints."""
        return {
            "series": [entry.to_dict() for entry in self.series],
            "skipped": [{"path": item.name, "reason": item.reason} for item in self.skipped],
        }


def inspect_path(
    path: str | os.PathLike[str], monitor: Monitor = SILENT, *, allow_gaps: bool = False
) -> Inspection:
    """Account for every file under a path, from the headers alone.

    Parameters
    ----------
    path : path
        A folder, a zip of one, its DICOMDIR, a NIfTI file or a DICOM file.
    monitor : Monitor
        Told how many headers are read; asked whether to go on.
    allow_gaps : bool
        Call a series usable although slices are missing, as where they are to be interpolated.

    Raises
    ------
    InputError
        The path does not exist or cannot be read, the folder is empty, or the zip is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("no such file or folder", where=path)
    try:
        if path.is_dir():
            return inspect_found(discover(path, monitor), allow_gaps=allow_gaps)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return inspect_found(Discovery(nifti=((path, path.name),)))
        if is_zip(path):
            with unpacked(path, monitor) as folder:
                return inspect_found(discover(folder, monitor), allow_gaps=allow_gaps)
    except PermissionError as error:
        raise InputError("no permission to read it", where=path) from error
    if is_index(path):
        return inspect_found(discover(path.parent, monitor), allow_gaps=allow_gaps)
    file = read_image(path, path.name)
    if isinstance(file, Skipped):
        return Inspection((), (file,))
    return inspect_found(Discovery(stacks_of([file])))


def inspect_files(files: Iterable[FoundFile], *, allow_gaps: bool = False) -> Inspection:
    """Account for each of these files, as `refinefuse_med.io.discovery.walk` yields them."""
    return inspect_found(gathered(files), allow_gaps=allow_gaps)


def inspect_found(found: Discovery, *, allow_gaps: bool = False) -> Inspection:
    """Account for what a folder was found to hold; a series with gaps is usable if allowed."""
    series = [_dicom_entry(stack, allow_gaps) for stack in found.stacks]
    skipped = list(found.skipped)
    for path, name in found.nifti:
        try:
            series.append(_nifti_entry(path, name))
        except RefineFuseError as error:
            skipped.append(Skipped(name, error.what, damaged=True))
    return Inspection(tuple(series), tuple(sorted(skipped, key=lambda item: item.name)))


def _dicom_entry(stack: Stack, allow_gaps: bool) -> SeriesEntry:
    header = stack.header
    found: tuple[Plan, ...] = ()
    reason = where = ""
    try:
        found = plans(stack, allow_gaps=allow_gaps)
        if len(found) > 1:
            reason = f"{len(found)} volumes in one series: choose one with UID#N"
        elif found[0].colour:
            reason = _COLOUR
        elif len(found[0].frames) == 1:
            reason = _SINGLE_SLICE
    except RefineFuseError as error:
        reason, where = str(error), " ".join((error.where or "").split())
    planned = found[0] if found else None
    grid = Grid(planned.shape, LPS_FROM_RAS @ planned.affine_lps) if planned else None
    first = Path(stack.files[0].name)
    return SeriesEntry(
        path=str(first if len(stack.files) == 1 else _common_folder(f.name for f in stack.files)),
        series_instance_uid=stack.series_uid or None,
        modality=stack.modality,
        description=text(header, "SeriesDescription"),
        files=len(stack.files),
        shape=_planned_shape(found) if planned else _shape(stack),
        spacing_mm=_rounded(grid) if grid else None,
        orientation=grid.orientation if grid else None,
        frame_of_reference_uid=text(header, "FrameOfReferenceUID") or None,
        units=planned.scale.units if planned else "a.u.",
        usable=not reason,
        reason=reason,
        warnings=planned.warnings if planned else (),
        volumes=tuple(plan.label for plan in found) if len(found) > 1 else (),
        identity=identity_of(stack),
        beside=stack.notes,
        where=where,
        names=tuple(file.name for file in stack.files),
    )


def _planned_shape(found: tuple[Plan, ...]) -> tuple[int, ...]:
    return (*found[0].shape, len(found)) if len(found) > 1 else found[0].shape


def _shape(stack: Stack) -> tuple[int, ...]:
    """The size of a stack that makes no grid, as far as its headers tell."""
    header = stack.header
    columns, rows = (integer(header, name) for name in ("Columns", "Rows"))
    try:
        frames = frames_of([file.header for file in stack.files]).frames
        places = len(set(place_numbers(frames)))
    except RefineFuseError:
        return columns, rows, max(len(stack.files), frame_count(header))
    if len(frames) > places and len(frames) % places == 0:
        return columns, rows, places, len(frames) // places
    return columns, rows, len(frames)


def _nifti_entry(path: Path, name: str) -> SeriesEntry:
    planned = plan_nifti(path)
    frames, grid = planned.frames, planned.grid
    reason = ""
    try:
        planned.require_volume(path)
        if frames > 1:
            reason = f"{frames} frames in one file: choose one with #N"
        elif planned.colour:
            reason = _COLOUR
        elif min(planned.shape) < 2:
            reason = _SINGLE_SLICE
    except InputError as error:
        reason = error.what
    return SeriesEntry(
        path=name,
        series_instance_uid=None,
        modality=planned.modality,
        description="",
        files=1,
        shape=(*grid.shape, frames) if frames > 1 else grid.shape,
        spacing_mm=_rounded(grid),
        orientation=grid.orientation,
        frame_of_reference_uid=None,
        units=planned.units,
        usable=not reason,
        reason=reason,
        warnings=planned.warnings,
        identity=identity_of_file(path),
        volumes=tuple(f"frame {n}" for n in range(1, frames + 1)) if frames > 1 else (),
    )


def _common_folder(names: Iterable[str]) -> str:
    return os.path.commonpath([str(Path(name).parent) for name in names]) or "."


def _rounded(grid: Grid) -> tuple[float, ...]:
    return tuple(round(size, 6) for size in grid.spacing_mm)
