"""Save layers: as NIfTI on the grid of the file that they came from, or as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med.errors import InputError

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = [
    "SEGMENT_NAMES",
    "write_dicom",
    "write_labels",
    "write_nifti",
    "write_segmentation",
    "write_segmentation_on",
]

SEGMENT_NAMES: Final = "refinefuse_segments"
"""Key of a labels layer's metadata: the name of each label, by its number."""

_LARGEST_LABEL: Final = 2**24
"""Up to here single precision, which the values of a volume have, holds every integer."""


_SAME_PLACE_MM: Final = 1e-6


def write_nifti(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one image layer: float32 where it is grey, RGB24 where it is colour.

    Raises
    ------
    InputError
        The layer is not a volume.
    OutputError
        The file cannot be written.
    """
    from refinefuse_med.io import write_nifti as write
    from refinefuse_napari._bridge import to_volume
    from refinefuse_napari._snapshot import snapshot

    write(to_volume(snapshot(_layer(data, attributes, "image"))), path)
    return [path]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer as a NIfTI label map of integers.

    Raises
    ------
    InputError
        The layer is not a volume, or has a label beyond 2^24.
    OutputError
        The file cannot be written.
    """
    import nibabel as nib
    import numpy as np

    from refinefuse_med.io import atomic_file
    from refinefuse_med.volume import to_nibabel
    from refinefuse_napari._bridge import to_volume
    from refinefuse_napari._snapshot import snapshot

    layer = _layer(data, attributes, "labels")
    largest = int(np.max(layer.data, initial=0))
    if largest > _LARGEST_LABEL:
        raise InputError(f"label {largest} is too large to be kept exactly", where=layer.name)
    kind = np.int16 if largest <= np.iinfo(np.int16).max else np.int32
    image = to_nibabel(to_volume(snapshot(layer)))
    labels = nib.Nifti1Image(np.asarray(image.dataobj).astype(kind), image.affine, image.header)
    labels.set_data_dtype(kind)
    labels.header.set_intent("label")
    with atomic_file(Path(path)) as partial:
        nib.save(labels, partial)
    return [path]


def write_dicom(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one image layer as a folder of DICOM images, a file a slice.

    Colour becomes Secondary Capture; a registered scan, or any other, a derived series in its
    real units. Patient, study and frame of reference are those of the scan whose grid it has.

    Parameters
    ----------
    path : str
        The folder to make; an ending ``.dcm`` is left off.
    data, attributes
        As napari gives them.

    Raises
    ------
    InputError
        The layer is not a volume.
    OutputError
        The folder exists, or cannot be written.
    """
    from refinefuse_med import io
    from refinefuse_med.volume import source_of
    from refinefuse_napari import _texts as texts
    from refinefuse_napari._aligning import GEOMETRY_OF
    from refinefuse_napari._bridge import to_volume
    from refinefuse_napari._snapshot import snapshot

    layer = _layer(data, attributes, "image")
    volume = to_volume(snapshot(layer))
    out = Path(path).with_suffix("") if path.lower().endswith(".dcm") else Path(path)
    source = layer.metadata.get(GEOMETRY_OF, source_of(volume))
    with io.AtomicFolder(out) as folder:
        if volume.shape[0] == 3:
            written = io.write_secondary_capture(
                volume, source, folder, description=f"RefineFuse ({texts.DISCLAIMER_SHORT})"
            )
        else:
            written = io.write_registered_series(
                volume,
                source,
                folder,
                description=f"RefineFuse registered ({texts.DISCLAIMER_SHORT})",
                window=tuple(layer.contrast_limits),
            )
        names = [file.relative_to(folder) for file in written]
    return [str(out / name) for name in names]


def write_segmentation(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer as a DICOM Segmentation of a patient who is not named.

    Raises
    ------
    InputError
        The layer is not a volume, or has no label.
    OutputError
        The file cannot be written.
    """
    return _write_segmentation(path, _layer(data, attributes, "labels"), None)


def write_segmentation_on(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write a labels layer as a DICOM Segmentation of the scan that it was drawn on.

    Parameters
    ----------
    path : str
        The file to write.
    layers
        The labels and the scan, in any order, as napari gives them.

    Raises
    ------
    InputError, OutputError
        As `write_segmentation`.
    """
    made = {kind: _layer(data, attributes, kind) for data, attributes, kind in layers}
    return _write_segmentation(path, made["labels"], made["image"])


def _write_segmentation(path: str, labels: Layer, scan: Layer | None) -> list[str]:
    from dataclasses import replace

    from refinefuse_med import io
    from refinefuse_med.volume import SourceHeader
    from refinefuse_napari import _texts as texts
    from refinefuse_napari._aligning import GEOMETRY_OF
    from refinefuse_napari._bridge import to_volume
    from refinefuse_napari._snapshot import snapshot

    shot = snapshot(labels)
    source = shot.info.get("source", SourceHeader("array"))
    if scan is not None:
        of = snapshot(scan)
        source = scan.metadata.get(GEOMETRY_OF, of.info.get("source", source))
        same_shape = shot.data.shape == of.data.shape[:3]
        if same_shape and abs(shot.world_from_data - of.world_from_data).max() < _SAME_PLACE_MM:
            # Drawn voxel by voxel on the scan: on the grid of its file, then.
            shot = replace(shot, info=of.info)
    written = io.write_segmentation(
        to_volume(shot),
        source,
        path,
        names=labels.metadata.get(SEGMENT_NAMES, {}),
        description=f"{labels.name} ({texts.DISCLAIMER_SHORT})",
    )
    return [str(written)]


def _layer(data: Any, attributes: dict[str, Any], kind: str) -> Layer:
    from napari.layers import Layer

    return Layer.create(data, attributes, kind)
