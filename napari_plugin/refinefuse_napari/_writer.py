"""Save a layer as NIfTI, on the grid of the file that it came from."""

from __future__ import annotations

from typing import Any

__all__ = ["write_nifti"]


def write_nifti(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one image layer: float32 where it is grey, RGB24 where it is colour.

    Raises
    ------
    InputError
        The layer is not a volume.
    OutputError
        The file cannot be written.
    """
    from napari.layers import Layer

    from refinefuse_med.io import write_nifti as write
    from refinefuse_napari._bridge import snapshot, to_volume

    layer = Layer.create(data, attributes, "image")
    write(to_volume(snapshot(layer)), path)
    return [path]
