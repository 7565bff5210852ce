"""What a NIfTI file promises: its grid, and a modality that the format cannot hold."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import nibabel as nib
import numpy as np
from nibabel.nifti1 import unit_codes
from numpy.typing import NDArray

from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.grid import Grid
from refinefuse_med.io.shear import straightened

__all__ = ["NiftiPlan", "opened", "plan_nifti", "read_header", "strip_suffix"]

MAX_SHEAR: Final = 0.71
"""Largest cosine between two voxel axes that is interpolated, 45 degrees from the right angle."""

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
    header : nibabel.Nifti1Header
        Or the one of NIfTI-2, which is a kind of it.
    affine_ras : array, shape (4, 4)
        Voxel index to RAS mm; its axes may stand askew, see `straightened`.
    modality, units : str
        As in `refinefuse_med.volume.Keys`.
    warnings : tuple of str
        What was assumed.
    """

    header: Any
    affine_ras: NDArray[np.float64]
    modality: str
    units: str
    warnings: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along I, J, K, and the number of frames where there is more than one."""
        shape = tuple(int(n) for n in self.header.get_data_shape())
        frames = math.prod(shape[3:])
        return (*shape[:3], frames) if frames > 1 else shape[:3]

    @property
    def frames(self) -> int:
        """Number of volumes in the file."""
        return math.prod(self.shape[3:])

    @property
    def grid(self) -> Grid:
        """Where the volume lies once it is read, at right angles."""
        i, j, k = (*self.shape, 1, 1, 1)[:3]
        return straightened(Grid((i, j, k), self.affine_ras))

    @property
    def colour(self) -> bool:
        """Whether it is a picture in colour (RGB24)."""
        return bool(self.header.get_data_dtype().fields)

    def require_volume(self, path: Path) -> None:
        """Raise `InputError` where this has no volume that can be read."""
        shape, dtype = self.shape, self.header.get_data_dtype()
        if len(shape) < 3 or min(shape) < 1:
            raise InputError(f"not a volume, its shape is {shape}", where=path)
        if dtype.fields and set(dtype.names) != {"R", "G", "B"}:
            raise InputError("colour with transparency is not supported", where=path)
        if np.issubdtype(dtype, np.complexfloating):
            raise InputError("complex values", where=path, hint="save the magnitude")


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a NIfTI file, unpacked if it is a gzip file, by whatever name; and tell if it is."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file, False
            return
        with gzip.open(file) as unpacked:
            yield unpacked, True  # type: ignore[misc]  # a GzipFile reads and seeks


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
        with opened(path) as (file, packed):
            header = read_header(file, path)
        affine, warnings = _affine(header)
        unit = _length_unit(header)
    except InputError:
        raise
    except Exception as error:  # nibabel raises many kinds, gzip and zlib their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise InputError(f"not a readable NIfTI file ({reason})", where=path) from error
    if packed is not path.name.lower().endswith(".gz"):
        warnings.append(f"the file is {'' if packed else 'not '}compressed, against its name")
    if not _has_inverse(affine):
        raise GeometryError("the affine is not finite or has no inverse", where=path)
    if unit not in _TO_MM:
        warnings.append("the file states no known unit of length: taken as mm")
    if (scale := _TO_MM.get(unit, 1.0)) != 1.0:
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
        warnings.append("the affine was converted to mm")
    if not (grid := Grid((2, 2, 2), affine)).is_orthogonal():
        askew = float(np.abs(grid.directions_ras.T @ grid.directions_ras - np.eye(3)).max())
        if askew > MAX_SHEAR:
            raise GeometryError("the voxel axes are sheared by more than 45 degrees", where=path)
        tilt = np.degrees(np.arcsin(askew))
        warnings.append(
            f"voxel axes sheared by {tilt:.1f} degrees: interpolated onto a grid at right angles"
        )
    found, units, notes = _meaning(header, path, modality)
    return NiftiPlan(header, affine, found, units, (*warnings, *notes))


def read_header(file: BinaryIO, path: Path) -> Any:
    """The header of a NIfTI file that is opened at its beginning, of version 1 or 2.

    Raises
    ------
    InputError
        It has none.
    """
    size = file.read(4)
    file.seek(0)
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        length = kind.sizeof_hdr
        if size in (length.to_bytes(4, "little"), length.to_bytes(4, "big")):
            header = kind.from_fileobj(file)
            if bytes(header["magic"].tobytes())[:2] not in (b"n+", b"n\0"):
                raise InputError("a NIfTI header without its image (.hdr and .img)", where=path)
            return header
    raise InputError("not a readable NIfTI file (no NIfTI header in it)", where=path)


def strip_suffix(name: str) -> str:
    """A file name without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def _affine(header: Any) -> tuple[NDArray[np.float64], list[str]]:
    """The affine to use of the two that a file may hold, and what is odd about them."""
    q_code, s_code = int(header["qform_code"]), int(header["sform_code"])
    if not q_code and not s_code:
        note = "no orientation in the file (qform and sform unset): left and right are a guess"
        return np.asarray(header.get_base_affine(), dtype=np.float64), [note]
    q_form = _q_form(header)
    if not s_code:
        return q_form, []
    best = np.asarray(header.get_sform(), dtype=np.float64)
    if not q_code:
        return best, []
    if not _has_inverse(q_form):
        return best, ["the qform is no rotation, or has no inverse: sform used"]
    if not _has_inverse(best):
        return q_form, ["the sform is not finite or has no inverse: qform used"]
    shape = (*header.get_data_shape(), 1, 1, 1)[:3]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape]))
    points = np.vstack([corners.reshape(3, -1), np.ones(8)])
    apart = np.abs((best - q_form)[:3] @ points).max()
    if apart <= FORMS_TOLERANCE_MM:
        return best, []
    return best, [f"qform and sform differ by up to {apart:.3g} mm: sform used"]


def _length_unit(header: Any) -> str:
    """As nibabel calls it; empty for a code that the format has not."""
    code = int(header["xyzt_units"]) & 0x07
    return str(unit_codes.label[code]) if code in unit_codes else ""


def _q_form(header: Any) -> NDArray[np.float64]:
    """The affine of the quaternion; not a number where that is none of a rotation."""
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except ValueError:
        return np.full((4, 4), np.nan)


def _has_inverse(affine: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) >= 1e-12)


def _meaning(header: Any, path: Path, modality: str | None) -> tuple[str, str, list[str]]:
    """Modality and units, from the surest source to the least, and what to warn of."""
    notes: list[str] = []
    sidecar = _sidecar(path)
    written = _written(header)
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


def _written(header: Any) -> dict[str, str]:
    """What `write_nifti` leaves in the description field: ``modality=PT units=SUVbw``."""
    description = bytes(header["descrip"].tobytes()).split(b"\0")[0].decode("ascii", "ignore")
    return dict(re.findall(r"\b(modality|units)=(\S+)", description))


def _words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", strip_suffix(path.name).lower()))
