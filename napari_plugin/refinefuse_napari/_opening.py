"""Opening of scans by the panel itself: in the other thread, with progress and cancellation.

napari opens what is dropped on its canvas in its main thread, and waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinefuse_med.errors import CancelledError, InputError, RefineFuseError
from refinefuse_med.progress import SILENT, Monitor
from refinefuse_napari import _texts as texts
from refinefuse_napari._outcome import Outcome
from refinefuse_napari._reader import layers_of

if TYPE_CHECKING:
    from refinefuse_napari._bridge import LayerData

__all__ = ["open_scans"]


def open_scans(paths: Sequence[str], plain: bool, monitor: Monitor = SILENT) -> Outcome:
    """Read what can be read of `paths`, and say why the rest cannot.

    Parameters
    ----------
    paths : sequence of str
        DICOM folders, zips and files, NIfTI files.
    plain : bool
        Name the layers by their modality alone.
    monitor : Monitor

    Raises
    ------
    InputError, GeometryError
        Nothing can be read.
    CancelledError
        The user asked to stop: nothing is opened.
    """
    opened: list[LayerData] = []
    said: list[str] = []
    refused: list[RefineFuseError] = []
    for path in paths:
        try:
            layers, warnings = layers_of(Path(path), plain, monitor)
        except CancelledError:
            raise
        except RefineFuseError as error:
            refused.append(error)
        else:
            opened += layers
            said += warnings
    if not opened:
        if len(refused) == 1:
            raise refused[0]
        raise InputError("; ".join(map(str, refused)) or texts.NO_INPUTS)
    return Outcome(
        texts.OPENED.format(len(opened)),
        opened=tuple(opened),
        warnings=(*said, *map(str, refused)),
    )
