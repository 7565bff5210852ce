"""Open DICOM folders, zips and files, and NIfTI files, as layers in patient coordinates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_napari._bridge import LayerData

__all__ = ["get_reader", "read"]

_NIFTI: Final = (".nii", ".nii.gz")
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

    from refinefuse_napari._bridge import expect_oblique_layers
    from refinefuse_napari._settings import read_settings
    from refinefuse_napari._unblock import unblocked

    expect_oblique_layers()
    place = Path(path)
    plain = read_settings().plain_names
    found = unblocked(lambda: _layers(place, plain), f"reading {place.name}")
    for _, warnings in found:
        for warning in warnings:
            show_warning(warning)
    return [layer for layer, _ in found]


def _layers(place: Path, plain: bool) -> list[tuple[LayerData, list[str]]]:
    from refinefuse_med.volume import modality_of, source_of
    from refinefuse_napari._bridge import image_layer

    found = []
    for volume, described in _volumes(place):
        name = modality_of(volume) if plain else described
        warnings = [f"{name}: {text}" for text in source_of(volume).warnings]
        found.append((image_layer(volume, name), warnings))
    return found


def _volumes(place: Path) -> list[tuple[MetaTensor, str]]:
    from refinefuse_med.io import inspect_path, load_volume
    from refinefuse_med.volume import Keys, get_meta

    if place.name.lower().endswith(_NIFTI):
        return [(load_volume(place), _stem(place))]
    usable = [series for series in inspect_path(place).series if series.usable]
    names = {s.series_instance_uid: f"{s.modality} {s.description}".strip() for s in usable}
    # With nothing usable the loader is asked all the same: its error says why.
    modalities = dict.fromkeys(s.modality for s in usable) or [None]
    volumes = [load_volume(place, modality=modality) for modality in modalities]
    return [(v, names.get(get_meta(v, Keys.SERIES_INSTANCE_UID), _stem(place))) for v in volumes]


def _stem(place: Path) -> str:
    return place.name.removesuffix(".gz").removesuffix(".nii")


def _is_dicom(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
