"""Load a volume from whatever the user has: NIfTI, DICOM folder, DICOM file, or zip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai.data import MetaTensor

from refinefuse_med.errors import InputError
from refinefuse_med.io.archive import is_zip, unpacked
from refinefuse_med.io.choice import Role, choose, split_selector
from refinefuse_med.io.dicom_reader import read_plan
from refinefuse_med.io.discovery import (
    NIFTI_SUFFIXES,
    Discovery,
    Stack,
    discover,
    gathered,
    stacks_of,
)
from refinefuse_med.io.elements import text
from refinefuse_med.io.frames import frame_count
from refinefuse_med.io.images import Skipped, is_index, read_image
from refinefuse_med.io.inspection import inspect_found
from refinefuse_med.io.nifti_reader import read_nifti
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["load_each_modality", "load_volume"]


def load_volume(
    path: str | os.PathLike[str],
    *,
    series_uid: str | None = None,
    modality: str | None = None,
    role: Role | None = None,
    allow_gaps: bool = False,
    files: Sequence[str] = (),
    monitor: Monitor = SILENT,
) -> MetaTensor:
    """Load one volume.

    Parameters
    ----------
    path : path
        A NIfTI file, a DICOM folder (searched with its subfolders), one DICOM file (one slice
        stands for its series in the same folder), or a zip of a folder.
    series_uid : str, optional
        SeriesInstanceUID to take, where there are several series. ``UID#N`` takes the Nth of
        several volumes in one series (time points, echoes), as `inspect_path` lists them; ``#N``
        is enough where there is one series, and for a NIfTI file of several frames.
    modality : str, optional
        DICOM modality code. For NIfTI it overrules what is known of the file; for DICOM only
        series of this modality, or of none known, are taken.
    role : {"anatomical", "functional"}, optional
        What the volume is for; decides which series of several is the best.
    allow_gaps : bool
        Interpolate missing slices, rather than refuse a series without them.
    files : sequence of str
        Of a folder or a zip only these are looked at, named from there; by default all.
    monitor : Monitor
        Told how many headers and images are read; asked whether to go on.

    Returns
    -------
    MetaTensor, shape (1, I, J, K), float32
        In real units (HU for CT; SUVbw for PT where the header suffices), or (3, I, J, K) uint8
        for a NIfTI file in RGB24. ``meta`` as in `refinefuse_med.volume.Keys`; everything that
        was assumed, mended or chosen is in the `SourceHeader`'s warnings.

    Raises
    ------
    InputError
        Nothing there, nothing readable, or not one clean volume.
    GeometryError
        Slices that do not make one grid: a gap, uneven distances, a tilted gantry, no positions.

    Examples
    --------
    >>> from refinefuse_med.sample import make_sample
    >>> path = [p for p in make_sample(getfixture("tmp_path")) if "pet" in p.name][0]
    >>> load_volume(path).meta["modality"]
    'PT'
    """
    path = Path(path)
    wanted = _Wanted(series_uid, modality.upper() if modality else None, role, allow_gaps, monitor)
    if not path.exists():
        raise InputError("no such file or folder", where=path)
    try:
        if path.is_dir():
            return _from_folder(path, path, wanted, files)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return _from_nifti(path, wanted)
        if is_zip(path):
            with unpacked(path, monitor, frozenset(files)) as folder:
                return _from_folder(folder, path, wanted, files)
    except PermissionError as error:
        raise InputError("no permission to read it", where=path) from error
    return _from_file(path, wanted)


def load_each_modality(
    path: str | os.PathLike[str], *, monitor: Monitor = SILENT
) -> list[MetaTensor]:
    """Load the best series of each modality under a path: a study, in one go.

    Of NIfTI files each has to be of a modality of its own, since nothing says which is the best.

    Parameters
    ----------
    path : path
        As of `load_volume`. What is one file stands for one volume.
    monitor : Monitor
        As of `load_volume`.

    Returns
    -------
    list of MetaTensor
        Each as from `load_volume`, one at least.

    Raises
    ------
    InputError, GeometryError
        As of `load_volume`, where there is no usable series at all; or one that is usable by its
        headers has damaged pixels.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _each(path, path, monitor)
        if path.is_file() and not path.name.lower().endswith(NIFTI_SUFFIXES):
            if is_zip(path):
                with unpacked(path, monitor) as folder:
                    return _each(folder, path, monitor)
            if is_index(path):
                return _each(path.parent, path, monitor)
    except PermissionError as error:
        raise InputError("no permission to read it", where=path) from error
    return [load_volume(path, monitor=monitor)]


def _each(folder: Path, path: Path, monitor: Monitor) -> list[MetaTensor]:
    found = discover(folder, monitor)
    entries = inspect_found(found).series
    if not found.stacks and len(found.nifti) > 1:
        kinds = [entry.modality for entry in entries]
        if len(set(kinds)) < len(kinds):
            raise InputError(
                f"{len(found.nifti)} NIfTI files, several of one modality",
                where=path,
                hint="open the files themselves",
            )
        return [read_nifti(file, monitor=monitor) for file, _ in found.nifti]
    # With nothing usable one is asked for all the same: the error says why.
    usable = [entry.modality for entry in entries if entry.usable]
    modalities: list[str | None] = list(dict.fromkeys(usable)) if found.stacks else []
    return [
        _from_found(found, path, _Wanted(None, modality, None, False, monitor))
        for modality in modalities or [None]
    ]


@dataclass(frozen=True)
class _Wanted:
    """What the caller of `load_volume` asked for."""

    selector: str | None
    modality: str | None
    role: Role | None
    allow_gaps: bool
    monitor: Monitor


def _read(
    stacks: Sequence[Stack], path: Path, wanted: _Wanted, notes: tuple[str, ...] = ()
) -> MetaTensor:
    chosen, more = choose(
        stacks,
        path,
        selector=wanted.selector,
        modality=wanted.modality,
        role=wanted.role,
        allow_gaps=wanted.allow_gaps,
    )
    return read_plan(chosen, path, (*notes, *more), wanted.modality, wanted.monitor)


def _from_nifti(path: Path, wanted: _Wanted) -> MetaTensor:
    uid, number = split_selector(wanted.selector)
    if uid:
        raise InputError(
            f"a NIfTI file, which has no series {uid}",
            where=path,
            hint="leave that out, or choose a volume by #N",
        )
    return read_nifti(path, wanted.modality, number, wanted.monitor)


def _from_folder(
    folder: Path, path: Path, wanted: _Wanted, files: Sequence[str] = ()
) -> MetaTensor:
    if not files:
        return _from_found(discover(folder, wanted.monitor), path, wanted)
    named = ((folder / name, name, None) for name in files)
    return _from_found(gathered(named, wanted.monitor), path, wanted)


def _from_found(found: Discovery, path: Path, wanted: _Wanted) -> MetaTensor:
    if not found.stacks and found.nifti and not (wanted.selector or "#").partition("#")[0]:
        if len(found.nifti) > 1:
            raise InputError(f"{len(found.nifti)} NIfTI files", where=path, hint="name one of them")
        return _from_nifti(found.nifti[0][0], wanted)
    _explain_nothing(found, path)
    return _read(found.stacks, path, wanted)


def _from_file(path: Path, wanted: _Wanted) -> MetaTensor:
    """One multi-frame file, the series that a slice belongs to, or the folder of an index."""
    if is_index(path):
        return _from_folder(path.parent, path, wanted)
    file = read_image(path, path.name)
    if isinstance(file, Skipped):
        raise InputError(
            f"no volume: {file.reason}",
            where=path,
            hint="give a NIfTI file, a DICOM folder or file, or a zip",
        )
    uid = text(file.header, "SeriesInstanceUID")
    if (frame_count(file.header) > 1 and "ConcatenationUID" not in file.header) or not uid:
        stacks: list[Stack] = list(stacks_of([file]))
        notes: tuple[str, ...] = ()
    else:
        stacks = [
            stack
            for stack in discover(path.parent, wanted.monitor).stacks
            if any(other.path == path for other in stack.files)
        ]
        number = sum(len(stack.files) for stack in stacks)
        notes = ()
        if number > 1:
            notes = (f"one slice was named: its series of {number} files in the folder was read",)
    return _read(stacks, path, wanted, notes)


def _explain_nothing(found: Discovery, path: Path) -> None:
    if found.stacks:
        return
    reasons = sorted({item.reason for item in found.skipped})
    raise InputError(
        f"no DICOM image and no NIfTI file among {len(found.skipped)} files "
        f"({'; '.join(reasons[:3])})",
        where=path,
    )
