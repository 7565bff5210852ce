"""What the user has set on the plugin's page of napari's preferences (see ``napari.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["Settings", "read_settings"]

_PLUGIN = "refinefuse-med"


class Settings(NamedTuple):
    """The settings, with their defaults.

    Attributes
    ----------
    device, colormap : str
        What the panel begins with.
    output_folder : str
        Where result folders are made; empty: the user is asked.
    plain_names : bool
        Layers are named by their modality alone, without what a header says.
    """

    device: str = "auto"
    colormap: str = "auto"
    output_folder: str = ""
    plain_names: bool = False

    def new_folder(self) -> str:
        """A folder for the next result that is not there yet; empty where none is set."""
        if not self.output_folder.strip():
            return ""
        parent, number = Path(self.output_folder).expanduser(), 1
        while (parent / f"fused_{number}").exists():
            number += 1
        return str(parent / f"fused_{number}")


def read_settings() -> Settings:
    """What is set now."""
    from napari.settings import get_plugin_settings

    try:
        page = get_plugin_settings(_PLUGIN)
    except KeyError:
        # The plugin is not installed but imported, or disabled.
        return Settings()
    return Settings(
        page.fusion.device,
        page.fusion.colormap,
        page.fusion.output_folder,
        page.privacy.plain_names,
    )
