"""What the user has set on the plugin's page of napari's preferences (see ``napari.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Settings", "read_settings", "remember_deidentify"]

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
    deidentify : bool
        Exports are de-identified.
    key_file : str
        Of the key that patients and UIDs are renamed by; empty: the user's own.
    """

    device: str = "auto"
    colormap: str = "auto"
    output_folder: str = ""
    plain_names: bool = False
    deidentify: bool = False
    key_file: str = ""

    @property
    def key(self) -> Path | None:
        """The file of the key, where one is named."""
        return Path(self.key_file).expanduser() if self.key_file.strip() else None

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
    page = _page()
    if page is None:
        return Settings()
    return Settings(
        page.fusion.device,
        page.fusion.colormap,
        page.fusion.output_folder,
        page.privacy.plain_names,
        page.privacy.deidentify,
        page.privacy.key_file,
    )


def remember_deidentify(on: bool) -> None:
    """Set whether exports are de-identified, from now on."""
    page = _page()
    if page is not None:
        page.privacy.deidentify = on


def _page() -> Any:
    """The page of the preferences; None where the plugin is not installed but imported."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(_PLUGIN)
    except KeyError:
        return None
