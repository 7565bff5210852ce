"""What volume the headers of a stack promise, or why they promise none.

Inspecting and reading both start from here, so that they never disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.io.discovery import Stack
from refinefuse_med.io.elements import image_type, integer, numbers, text, uid_name
from refinefuse_med.io.frames import frames_of
from refinefuse_med.io.geometry import Frame, StackGeometry, place_numbers, stack_geometry
from refinefuse_med.io.headers import DicomFile
from refinefuse_med.io.mosaic import mosaic_frames
from refinefuse_med.io.pixels import same_image
from refinefuse_med.io.traits import collide, parts_of
from refinefuse_med.io.values import COLOURS, Scale, scale_of

__all__ = ["Plan", "plans"]

MODALITIES: Final = ("MR", "CT", "PT", "NM", "OT")
"""What can be fused; OT because some exporters know no better."""


_ALIKE: Final = {
    "ConvolutionKernel": "reconstruction kernel",
    "KVP": "tube voltage (kV)",
    "EchoTime": "echo time",
    "SliceThickness": "slice thickness",
}
"""What the slices of one volume share."""


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
    scale : Scale
        Modality, units, and the way from stored values to real ones.
    warnings : tuple of str
        What was assumed or mended.
    image_size : tuple of int
        Columns and rows of a frame.
    geometry : StackGeometry
        Where the frames lie, and how they have to be interpolated.
    label : str
        What tells it from other volumes of its stack, such as an echo time.
    """

    stack: Stack
    files: tuple[DicomFile, ...]
    frames: tuple[Frame, ...]
    scale: Scale
    warnings: tuple[str, ...]
    image_size: tuple[int, int]
    geometry: StackGeometry
    label: str = ""

    @property
    def affine_lps(self) -> NDArray[np.float64]:
        """Voxel index to LPS mm, shape (4, 4)."""
        return self.geometry.affine_lps

    @property
    def colour(self) -> bool:
        """Whether it is a picture in colour: three channels, and no values."""
        return text(self.stack.header, "PhotometricInterpretation") in COLOURS

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along I, J, K."""
        (columns, rows), places = self.image_size, self.geometry.places
        more_i, more_j = self.geometry.grown
        return (
            columns + more_i,
            rows + more_j,
            len(self.frames) if places is None else len(places),
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


def plans(stack: Stack, *, allow_gaps: bool = False) -> tuple[Plan, ...]:
    """Work out the volumes of a stack from its headers alone; nearly always there is one.

    Where some of several cannot be read, the others say so.

    Raises
    ------
    InputError
        The stack is no scan, holds damaged files or more than one patient.
    GeometryError
        Its slices do not make one grid.
    """
    stack, notes = _without_damaged_copies(stack)
    _refuse_damage(stack)
    _refuse_other_kinds(stack)
    _refuse_strays(stack)
    _refuse_mixtures(stack)
    files, warnings = _without_duplicates(stack)
    warnings += [*stack.notes, *notes]
    if stack.is_survey:
        warnings.append(f"one of {stack.planes} orientations in its series: perhaps a survey")
    headers = [file.header for file in files]
    found = frames_of(headers)
    frames, size = found.frames, _size(stack.header)
    if "MOSAIC" in image_type(stack.header):
        frames, size = mosaic_frames(files, found.with_traits())
    elif collide(frames):
        frames = found.with_traits()
    if any(file.mended for file in files):
        warnings.append("numbers with a decimal comma were read as if with a point")
    if "Secondary Capture" in uid_name(text(stack.header, "SOPClassUID")):
        warnings.append("a secondary capture: its values may not be those of the scan")
    frames, more = _without_twins(files, frames)
    parts = parts_of(frames)
    scale = scale_of(headers, stack.modality)
    made: list[Plan] = []
    refusals: list[RefineFuseError] = []
    for part in parts:
        own = [frames[index] for index in part.frames]
        try:
            geometry = stack_geometry(own, allow_gaps=allow_gaps)
        except RefineFuseError as error:
            refusals.append(error)
            continue
        said = [*warnings, *more, *found.warnings, *geometry.warnings, *scale.warnings]
        said += _mixtures([headers[frame.file] for frame in own])
        if part.note:
            said.append(part.note)
        if len(own) == 1:
            said.append("a single slice: its thickness is taken as the slice distance")
        made.append(
            Plan(
                stack=stack,
                files=files,
                frames=tuple(own[index] for index in geometry.order),
                scale=scale,
                warnings=tuple(said),
                image_size=size,
                geometry=geometry,
                label=part.label,
            )
        )
    if not made:
        raise refusals[0]
    if refusals:
        note = f"{len(refusals)} of {len(parts)} volumes of the series cannot be read: "
        made = [replace(p, warnings=(*p.warnings, note + refusals[0].what)) for p in made]
    return tuple(made)


def _size(header: Dataset) -> tuple[int, int]:
    return integer(header, "Columns"), integer(header, "Rows")


def _without_twins(
    files: tuple[DicomFile, ...], frames: tuple[Frame, ...]
) -> tuple[tuple[Frame, ...], list[str]]:
    """Drop images that were stored again under another UID: same place, same pixels."""
    if len(files) < 2 or len(frames) != len(files):
        return frames, []
    alike: dict[tuple[int, str], list[Frame]] = defaultdict(list)
    left = []
    for place, frame in zip(place_numbers(frames), frames, strict=True):
        others = alike[place, repr(sorted(frame.traits.items()))]
        if not any(same_image(files[other.file], files[frame.file]) for other in others):
            others.append(frame)
            left.append(frame)
    dropped = len(frames) - len(left)
    note = f"{dropped} images stored twice, under UIDs of their own, were left out"
    return tuple(left), [note] if dropped else []


def _without_damaged_copies(stack: Stack) -> tuple[Stack, list[str]]:
    """Leave out damaged files whose image is there a second time, intact."""
    intact = {text(f.header, "SOPInstanceUID") for f in stack.files if not f.damage} - {""}
    left = tuple(
        f for f in stack.files if not (f.damage and text(f.header, "SOPInstanceUID") in intact)
    )
    dropped = len(stack.files) - len(left)
    if not dropped:
        return stack, []
    return replace(stack, files=left), [
        f"a damaged copy of an intact image was left out ({dropped} in all)"
    ]


def _refuse_damage(stack: Stack) -> None:
    for file in stack.files:
        if file.damage:
            raise InputError(file.damage, where=file.base_name, hint="get the file again")


def _refuse_strays(stack: Stack) -> None:
    """A damaged file beside the slices may be one of them; one file alone misses none."""
    if stack.damaged and len(stack.files) > 1:
        others = f" and {len(stack.damaged) - 1} more" if len(stack.damaged) > 1 else ""
        raise InputError(
            f"a damaged file lies among the slices{others}, and may be one of them",
            where=stack.damaged[0],
            hint="get it again, or remove it if it is no slice of this series",
        )


def _refuse_other_kinds(stack: Stack) -> None:
    header = stack.header
    modality = stack.modality
    photometric = text(header, "PhotometricInterpretation")
    kinds = image_type(header)
    if "Secondary Capture" in uid_name(text(header, "SOPClassUID")) and not _is_placed(header):
        raise InputError("secondary capture: a picture, not a scan")
    if "LOCALIZER" in kinds:
        raise InputError("localizer")
    if modality not in MODALITIES:
        raise InputError(f"modality {modality} is not one that can be fused")
    if photometric not in ("MONOCHROME1", "MONOCHROME2", *COLOURS):
        raise InputError(f"unknown kind of image ({photometric or 'no PhotometricInterpretation'})")
    if not all(integer(header, name) > 0 for name in ("Rows", "Columns", "BitsAllocated")):
        raise InputError("no image size (Rows, Columns, BitsAllocated)")


def _is_placed(header: Dataset) -> bool:
    """Whether a secondary capture lies in the patient, as coloured exports of a scan do."""
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    return "PerFrameFunctionalGroupsSequence" in header or all(
        numbers(header, name) for name in needed
    )


def _mixtures(headers: Sequence[Dataset]) -> list[str]:
    """What slices of one volume differ in that have no business to: read, but said."""
    notes = []
    for keyword, what in _ALIKE.items():
        values = sorted({_shown(header, keyword) for header in headers} - {""})
        if len(values) > 1:
            shown = ", ".join(values[:4]) + (", ..." if len(values) > 4 else "")
            notes.append(f"its slices differ in the {what}: {shown}")
    return notes


def _shown(header: Dataset, keyword: str) -> str:
    found = numbers(header, keyword)
    return f"{found[0]:.3g}" if found else text(header, keyword)


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
