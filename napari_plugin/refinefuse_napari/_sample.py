"""Sample data: a brain in two modalities, on grids of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from refinefuse_napari._bridge import LayerData

__all__ = ["mr_ct", "mr_pet", "mr_spect"]

Modality = Literal["mr", "ct", "pet", "spect"]
_NAMES: Final[dict[Modality, str]] = {"mr": "MR", "ct": "CT", "pet": "PET", "spect": "SPECT"}


def mr_pet() -> list[LayerData]:
    """MR and FDG-PET."""
    return _pair("pet")


def mr_ct() -> list[LayerData]:
    """MR and CT."""
    return _pair("ct")


def mr_spect() -> list[LayerData]:
    """MR and perfusion SPECT."""
    return _pair("spect")


def _pair(functional: Modality) -> list[LayerData]:
    from refinefuse_napari._display import expect_oblique_layers
    from refinefuse_napari._unblock import unblocked

    expect_oblique_layers()
    modalities: tuple[Modality, ...] = ("mr", functional)
    return unblocked(lambda: [_layer(m) for m in modalities], "opening the sample")


def _layer(modality: Modality) -> LayerData:
    from refinefuse_med.sample import sample_volume
    from refinefuse_napari._bridge import image_layer

    return image_layer(sample_volume(modality), _NAMES[modality])
