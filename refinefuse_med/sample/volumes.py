"""The scans that are shipped, and the truth about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from monai.data import MetaTensor

from refinefuse_med.errors import InputError
from refinefuse_med.io import load_volume

__all__ = ["SCAN_FILES", "sample_truth", "sample_volume", "shipped_file"]

SCAN_FILES: Final = {
    "mr": "mr_t1.nii.gz",
    "ct": "ct.nii.gz",
    "pet": "pet.nii.gz",
    "spect": "spect.nii.gz",
}
"""The scans by name; the first is the fixed one."""


def shipped_file(filename: str) -> Path:
    """Where a shipped file lies: in the package, or beside it in a source checkout.

    Raises
    ------
    InputError
        It is in neither place.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "volumes", here.parents[2] / "sample_data" / "volumes"):
        if (folder / filename).is_file():
            return folder / filename
    raise InputError(
        "the sample scans are missing from this installation",
        where=filename,
        hint="install refinefuse-med again",
    )


def sample_volume(name: str) -> MetaTensor:
    """One of the shipped scans.

    Parameters
    ----------
    name : {"mr", "ct", "pet", "spect"}
        T1 MRI (a.u.), CT (HU), FDG-PET (SUVbw) or perfusion SPECT (counts).

    Returns
    -------
    MetaTensor, shape (1, I, J, K), float32
        Each on an oblique, anisotropic grid of its own, and in a pose of its own.

    Raises
    ------
    InputError
        There is no scan of that name.
    """
    if name not in SCAN_FILES:
        raise InputError(
            "there is no such sample scan", where=name, hint=f"choose of {', '.join(SCAN_FILES)}"
        )
    return load_volume(shipped_file(SCAN_FILES[name]))


def sample_truth() -> dict[str, Any]:
    """The content of the shipped ``truth.json``: poses, landmarks and the lesion, LPS mm."""
    truth: dict[str, Any] = json.loads(shipped_file("truth.json").read_text("utf-8"))
    return truth
