"""Open DICOM folders, zips and files, and NIfTI files, as layers in patient coordinates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refinefuse_med.progress import SILENT, Monitor

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_napari._bridge import LayerData

__all__ = ["get_reader", "layers_of", "read"]

_GLANCE: Final = 50
"""Files of a folder that are looked at before it is said to hold no DICOM."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Answer napari whether we read `path`, by a glance and without reading it."""
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.is_dir():
        files = islice((f for f in place.rglob("*") if f.is_file()), _GLANCE)
        return read if any(_is_dicom(f) for f in files) else None
    return read if place.is_file() else None


def read(path: str) -> list[LayerData]:
    """Read the best series of each modality under `path`, one image layer each.

    What the reader had to assume, mend or choose is shown as napari warnings.

    Raises
    ------
    InputError, GeometryError
        Nothing there can be read as a volume.
    """
    from napari.utils.notifications import show_warning

    from refinefuse_napari._display import expect_oblique_layers
    from refinefuse_napari._settings import read_settings
    from refinefuse_napari._unblock import unblocked

    expect_oblique_layers()
    place = Path(path)
    plain = read_settings().plain_names
    layers, warnings = unblocked(lambda: layers_of(place, plain), f"reading {place.name}")
    for warning in warnings:
        show_warning(warning)
    return layers


def layers_of(
    place: Path, plain: bool, monitor: Monitor = SILENT
) -> tuple[list[LayerData], list[str]]:
    """Read as `read` does: layers, and what is to be said of them; in whatever thread.

    With `plain` names the layers are named by their modality alone.
    """
    from refinefuse_med.io import load_each_modality
    from refinefuse_med.volume import modality_of, source_of
    from refinefuse_napari._bridge import image_layer

    layers: list[LayerData] = []
    warnings: list[str] = []
    for volume in load_each_modality(place, monitor=monitor):
        name = modality_of(volume) if plain else _described(volume, place)
        warnings += [f"{name}: {text}" for text in source_of(volume).warnings]
        layers.append(image_layer(volume, name))
    return layers, warnings


def _described(volume: MetaTensor, place: Path) -> str:
    """What a reader calls a volume: by its header, else by its file."""
    from refinefuse_med.volume import modality_of, source_of

    source = source_of(volume)
    if source.datasets:
        description = source.datasets[0].get("SeriesDescription") or ""
        return f"{modality_of(volume)} {description}".strip()
    name = Path(source.path or place).name
    return name.removesuffix(".gz").removesuffix(".nii")


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
