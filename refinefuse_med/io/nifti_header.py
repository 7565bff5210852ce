"""What a NIfTI file promises: its grid, and a modality that the format cannot hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from refinefuse_med.errors import GeometryError, InputError

__all__ = ["NiftiPlan", "plan_nifti", "strip_suffix"]

FORMS_TOLERANCE_MM: Final = 0.1
"""Distance of a voxel by sform from the same by qform that counts as agreement."""

_TOKENS: Final = {
    "MR": {"mr", "mri", "t1", "t2", "t1w", "t2w", "t1c", "t1ce", "pd", "pdw", "flair", "mprage"},
    "CT": {"ct"},
    "PT": {"pet", "pt", "fdg"},
    "NM": {"nm", "spect"},
}
_UNITS: Final = {
    "hu": "HU",
    "suvbw": "SUVbw",
    "suv": "SUVbw",
    "bq/ml": "Bq/ml",
    "counts": "counts",
    "a.u.": "a.u.",
}
_TO_MM: Final = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True, eq=False)
class NiftiPlan:
    """A NIfTI volume that can be read.

    Attributes
    ----------
    image : nibabel.Nifti1Image
        Its data not read yet.
    affine_ras : array, shape (4, 4)
        Voxel index to RAS mm.
    modality, units : str
        As in `refinefuse_med.volume.Keys`.
    warnings : tuple of str
        What was assumed.
    """

    image: Any
    affine_ras: NDArray[np.float64]
    modality: str
    units: str
    warnings: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along I, J, K, and the number of frames where there is more than one."""
        shape = tuple(int(n) for n in self.image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        return shape

    def require_volume(self, path: Path) -> None:
        """Raise `InputError` where this is not one grey or RGB24 volume of three axes."""
        shape = self.shape
        if len(shape) > 3:
            frames = int(np.prod(shape[3:]))
            raise InputError(
                f"{frames} frames in one file", where=path, hint="extract the one to use"
            )
        if len(shape) < 3 or 0 in shape:
            raise InputError(f"not a volume, its shape is {shape}", where=path)


def plan_nifti(path: Path, modality: str | None = None) -> NiftiPlan:
    """Read the header of a NIfTI file and the JSON sidecar beside it.

    Raises
    ------
    InputError
        The file is no NIfTI file, damaged, or cannot be opened.
    GeometryError
        Its affine is not finite or has no inverse.
    """
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):
            raise InputError("not a NIfTI file, although named like one", where=path)
        warnings = _geometry_warnings(image)
        scale = _TO_MM.get(image.header.get_xyzt_units()[0], 1.0)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds, gzip and zlib their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, ImageFileError):
            reason = "no NIfTI header in it"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise InputError(f"not a readable NIfTI file ({reason})", where=path) from error
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise GeometryError("the affine is not finite or has no inverse", where=path)
    if scale != 1.0:
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
        warnings.append("the affine was converted to mm")
    found, units, notes = _meaning(image, path, modality)
    return NiftiPlan(image, affine, found, units, (*warnings, *notes))


def strip_suffix(name: str) -> str:
    """A file name without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def _geometry_warnings(image: nib.Nifti1Image) -> list[str]:
    header = image.header
    q_code, s_code = int(header["qform_code"]), int(header["sform_code"])
    if not q_code and not s_code:
        return ["no orientation in the file (qform and sform unset): left and right are a guess"]
    if not (q_code and s_code):
        return []
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in (*image.shape, 1, 1)[:3]]))
    points = np.vstack([corners.reshape(3, -1), np.ones(8)])
    apart = np.abs((header.get_sform() - header.get_qform())[:3] @ points).max()
    if apart <= FORMS_TOLERANCE_MM:
        return []
    return [f"qform and sform differ by up to {apart:.3g} mm: sform used"]


def _meaning(
    image: nib.Nifti1Image, path: Path, modality: str | None
) -> tuple[str, str, list[str]]:
    """Modality and units, from the surest source to the least, and what to warn of."""
    notes: list[str] = []
    sidecar = _sidecar(path)
    written = _written(image)
    found = modality or sidecar.get("modality") or written.get("modality")
    if not found:
        named = [name for name, tokens in _TOKENS.items() if tokens & _words(path)]
        if len(named) == 1:
            found = named[0]
            notes.append(f"modality {found} taken from the file name")
        else:
            why = "the file name names several" if named else "nothing names it"
            found = "OT"
            notes.append(f"modality unknown ({why})")
    found = {"PET": "PT", "MRI": "MR", "SPECT": "NM"}.get(found.upper(), found.upper())
    units = sidecar.get("units") or written.get("units")
    known = _UNITS.get((units or "").lower().replace(" ", ""))
    if known is None:
        known = "HU" if found == "CT" else "a.u."
        if units:
            notes.append("units of the sidecar file are not known: taken as arbitrary")
    return found, known, notes


def _sidecar(path: Path) -> dict[str, str]:
    """Modality and Units of the JSON file beside (BIDS)."""
    try:
        held = json.loads(path.with_name(f"{strip_suffix(path.name)}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    wanted = {"modality": held.get("Modality"), "units": held.get("Units")}
    return {key: value for key, value in wanted.items() if isinstance(value, str) and value}


def _written(image: nib.Nifti1Image) -> dict[str, str]:
    """What `write_nifti` leaves in the description field: ``modality=PT units=SUVbw``."""
    description = bytes(image.header["descrip"].tobytes()).split(b"\0")[0].decode("ascii", "ignore")
    return dict(re.findall(r"\b(modality|units)=(\S+)", description))


def _words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", strip_suffix(path.name).lower()))
