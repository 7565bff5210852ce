"""Which of several series to take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from refinefuse_med.errors import InputError, RefineFuseError, UsageError
from refinefuse_med.io.dicom_plan import Plan, plans
from refinefuse_med.io.discovery import Stack
from refinefuse_med.io.elements import image_type, text

__all__ = ["Role", "choose", "split_selector"]

Role = Literal["anatomical", "functional"]

_LIKING: Final[dict[str | None, dict[str, int]]] = {
    "anatomical": {"MR": 3, "CT": 2, "OT": 1},
    "functional": {"PT": 3, "NM": 3, "CT": 2, "OT": 1},
    None: {},
}
"""How well a modality suits a role. Between MR and CT, CT is the one coloured."""


def split_selector(selector: str | None) -> tuple[str | None, int | None]:
    """Divide ``UID#N`` into the UID and the number of the volume; either may be absent.

    Raises
    ------
    UsageError
        What follows the ``#`` is no number.
    """
    if selector is None:
        return None, None
    uid, mark, number = selector.partition("#")
    if mark and not (number.isdecimal() and int(number) > 0):
        raise UsageError(f"{selector!r} is not UID#N, N the number of a volume of the series")
    return uid or None, int(number) if mark else None


def choose(
    stacks: Sequence[Stack],
    where: object,
    *,
    selector: str | None = None,
    modality: str | None = None,
    role: Role | None = None,
    allow_gaps: bool = False,
) -> tuple[Plan, tuple[str, ...]]:
    """Choose the series to read.

    Parameters
    ----------
    stacks : sequence of Stack
        Of which to choose.
    where : object
        What the user gave, for messages.
    selector : str, optional
        ``UID`` of a series, or ``UID#N`` where it holds several volumes.
    modality, role, allow_gaps
        As in `refinefuse_med.io.load_volume`.

    Returns
    -------
    plan : Plan
        The volume to read.
    warnings : tuple of str
        What was chosen of several, and how to choose otherwise.

    Raises
    ------
    InputError
        No series, none of that UID or modality, several patients, several volumes in the
        best series, or the reason why the largest cannot be read.
    GeometryError
        The slices of the largest series do not make one grid.
    """
    option = f"--{role}-series" if role else "series_uid"
    series_uid, number = split_selector(selector)
    if series_uid is not None:
        stacks = [stack for stack in stacks if stack.series_uid == series_uid]
        if not stacks:
            raise InputError(
                f"no series {series_uid}", where=where, hint="list them with: refinefuse inspect"
            )
    if not stacks:
        raise InputError("no DICOM image and no NIfTI file found", where=where)
    found, refusals = _plans(_of_modality(stacks, modality, where), allow_gaps)
    if not found:
        raise _refusal(refusals, where)
    people = {volumes[0].stack.patient for volumes in found}
    if series_uid is None and len(people) > 1:
        raise InputError(
            f"series of {len(people)} patients",
            where=where,
            hint=f"name the series with {option} UID",
        )
    best, notes = _volume(max(found, key=lambda v: _rank(v[0], role)), number, where, option)
    if len(found) > 1:
        notes += (
            f"chosen of {len(found)} readable series: {_name(best)}; {option} UID takes another",
        )
    return best, notes


def _volume(
    volumes: Sequence[Plan], number: int | None, where: object, option: str
) -> tuple[Plan, tuple[str, ...]]:
    """The volume of a series that was asked for; of several, one has to be."""
    count = len(volumes)
    if number is None and count > 1:
        labels = [volume.label for volume in volumes]
        shown = labels if count <= 3 else [*labels[:2], "...", labels[-1]]
        raise InputError(
            f"{count} volumes in one series ({'; '.join(shown)})",
            where=where,
            hint=f"choose one, such as {option} {volumes[0].stack.series_uid}#1 for the first",
        )
    if number is not None and number > count:
        raise InputError(f"no volume {number} in a series of {count}", where=where)
    chosen = volumes[(number or 1) - 1]
    if count == 1:
        return chosen, ()
    return chosen, (f"volume {number} of {count} in its series: {chosen.label}",)


def _plans(
    stacks: Sequence[Stack], allow_gaps: bool
) -> tuple[list[tuple[Plan, ...]], list[RefineFuseError]]:
    """Plan every stack; the refusals are in the order of their number of files."""
    found: list[tuple[Plan, ...]] = []
    refusals: list[RefineFuseError] = []
    for stack in sorted(stacks, key=lambda stack: -len(stack.files)):
        try:
            found.append(plans(stack, allow_gaps=allow_gaps))
        except RefineFuseError as error:
            refusals.append(error)
    return found, refusals


def _refusal(refusals: Sequence[RefineFuseError], where: object) -> RefineFuseError:
    """Say why nothing can be read: the reason of the largest series stands for all."""
    largest = refusals[0]
    reason = largest.what if largest.where is None else f"{largest.where}: {largest.what}"
    if len(refusals) > 1:
        reason = f"none of {len(refusals)} series can be read; the largest: {reason}"
    return type(largest)(reason, where=where, hint=largest.hint)


def _of_modality(stacks: Sequence[Stack], modality: str | None, where: object) -> Sequence[Stack]:
    if modality is None:
        return stacks
    fitting = [stack for stack in stacks if stack.modality in (modality, "OT")]
    if not fitting:
        names = ", ".join(sorted({stack.modality for stack in stacks}))
        raise InputError(f"no series of modality {modality}, found {names}", where=where)
    return fitting


def _rank(candidate: Plan, role: Role | None) -> tuple[object, ...]:
    header = candidate.stack.header
    return (
        not candidate.colour,
        len(candidate.frames) > 1,
        _LIKING[role].get(candidate.scale.modality, 0),
        "DERIVED" not in image_type(header),
        not candidate.stack.is_survey,
        # Of two PET series the one corrected for attenuation.
        "ATTN" in str(header.get("CorrectedImage", "")),
        len(candidate.frames),
        -max(candidate.spacing_mm),
        text(header, "SeriesInstanceUID"),
    )


def _name(chosen: Plan) -> str:
    shape = " x ".join(str(n) for n in chosen.shape)
    return f"{chosen.scale.modality} of {shape} voxels, series {chosen.stack.series_uid}"
