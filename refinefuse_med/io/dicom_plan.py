"""What volume the headers of a stack promise, or why they promise none.

Inspecting and reading both start from here, so that they never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refinefuse_med.errors import InputError
from refinefuse_med.io.discovery import Stack
from refinefuse_med.io.elements import image_type, integer, text, uid_name
from refinefuse_med.io.frames import frames_of
from refinefuse_med.io.geometry import Frame, stack_geometry
from refinefuse_med.io.headers import DicomFile
from refinefuse_med.io.pixels import same_image
from refinefuse_med.io.values import Scale, scale_of

__all__ = ["Plan", "plan"]

MODALITIES: Final = ("MR", "CT", "PT", "NM", "OT")
"""What can be fused; OT because some exporters know no better."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A volume that can be read.

    Attributes
    ----------
    stack : Stack
        What it is planned from.
    files : tuple of DicomFile
        Those to read, duplicates left out.
    frames : tuple of Frame
        In the order of the K axis; `Frame.file` counts in `files`.
    affine_lps : array, shape (4, 4)
        Voxel index to LPS mm.
    scale : Scale
        Modality, units, and the way from stored values to real ones.
    warnings : tuple of str
        What was assumed or mended.
    grown, shifts
        Of a tilted stack, as in `StackGeometry`.
    """

    stack: Stack
    files: tuple[DicomFile, ...]
    frames: tuple[Frame, ...]
    affine_lps: NDArray[np.float64]
    scale: Scale
    warnings: tuple[str, ...]
    grown: tuple[int, int] = (0, 0)
    shifts: NDArray[np.float64] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along I, J, K."""
        header = self.stack.header
        return (
            integer(header, "Columns") + self.grown[0],
            integer(header, "Rows") + self.grown[1],
            len(self.frames),
        )

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along I, J, K."""
        i, j, k = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def frame_of_reference_uid(self) -> str:
        """Empty where the series has none."""
        return text(self.stack.header, "FrameOfReferenceUID")


def plan(stack: Stack) -> Plan:
    """Work out the volume of a stack from its headers alone.

    Raises
    ------
    InputError
        The stack is no scan, holds damaged files or more than one patient.
    GeometryError
        Its slices do not make one grid.
    """
    _refuse_damage(stack)
    _refuse_other_kinds(stack)
    files, warnings = _without_duplicates(stack)
    headers = [file.header for file in files]
    _refuse_mixtures(stack)
    found = frames_of(headers)
    geometry = stack_geometry(found.frames)
    modality = text(stack.header, "Modality").upper() or "OT"
    scale = scale_of(headers, modality)
    if any(file.mended for file in files):
        warnings.append("numbers with a decimal comma were read as if with a point")
    if len(found.frames) == 1:
        warnings.append("a single slice: its thickness is taken as the slice distance")
    return Plan(
        stack=stack,
        files=files,
        frames=tuple(found.frames[index] for index in geometry.order),
        affine_lps=geometry.affine_lps,
        scale=scale,
        warnings=(*warnings, *found.warnings, *geometry.warnings, *scale.warnings),
        grown=geometry.grown,
        shifts=geometry.shifts,
    )


def _refuse_damage(stack: Stack) -> None:
    for file in stack.files:
        if file.damage:
            raise InputError(file.damage, where=file.base_name, hint="get the file again")
    if stack.damaged:
        others = f" and {len(stack.damaged) - 1} more" if len(stack.damaged) > 1 else ""
        raise InputError(
            f"a damaged file lies among the slices{others}",
            where=stack.damaged[0],
            hint="get it again, or remove it if it is no slice of this series",
        )


def _refuse_other_kinds(stack: Stack) -> None:
    header = stack.header
    modality = text(header, "Modality").upper() or "OT"
    photometric = text(header, "PhotometricInterpretation")
    kinds = image_type(header)
    if "Secondary Capture" in uid_name(text(header, "SOPClassUID")):
        raise InputError("secondary capture: a picture, not a scan")
    if "MOSAIC" in kinds:
        raise InputError(
            "Siemens mosaic: many slices in one image",
            hint="convert it first, for example with dcm2niix",
        )
    if "LOCALIZER" in kinds:
        raise InputError("localizer")
    if modality not in MODALITIES:
        raise InputError(f"modality {modality} is not one that can be fused")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"not a grey image ({photometric or 'no PhotometricInterpretation'})")
    if not all(integer(header, name) > 0 for name in ("Rows", "Columns", "BitsAllocated")):
        raise InputError("no image size (Rows, Columns, BitsAllocated)")


def _refuse_mixtures(stack: Stack) -> None:
    for keyword, what in (("PatientID", "patient"), ("FrameOfReferenceUID", "frame of reference")):
        if len({text(file.header, keyword) for file in stack.files}) > 1:
            raise InputError(f"more than one {what} in one series")


def _without_duplicates(stack: Stack) -> tuple[tuple[DicomFile, ...], list[str]]:
    """Drop copies of an image; two different ones that claim to be one are refused."""
    kept: dict[str, DicomFile] = {}
    dropped = 0
    for file in stack.files:
        uid = text(file.header, "SOPInstanceUID") or file.name
        first = kept.setdefault(uid, file)
        if first is file:
            continue
        if not same_image(first, file):
            raise InputError(
                "has the SOPInstanceUID of another file, but other content",
                where=file.base_name,
                hint="remove one of the two",
            )
        dropped += 1
    notes = [f"{dropped} duplicate files were left out"] if dropped else []
    return tuple(kept.values()), notes
