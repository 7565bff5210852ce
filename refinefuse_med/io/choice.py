"""Which of several series to take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.io.dicom_plan import Plan, plan
from refinefuse_med.io.discovery import Stack
from refinefuse_med.io.elements import image_type, text

__all__ = ["Role", "choose"]

Role = Literal["anatomical", "functional"]

_LIKING: Final[dict[str | None, dict[str, int]]] = {
    "anatomical": {"MR": 3, "CT": 2, "OT": 1},
    "functional": {"PT": 3, "NM": 3, "CT": 2, "OT": 1},
    None: {},
}
"""How well a modality suits a role. Between MR and CT, CT is the one coloured."""


def choose(
    stacks: Sequence[Stack],
    where: object,
    *,
    series_uid: str | None = None,
    modality: str | None = None,
    role: Role | None = None,
) -> tuple[Plan, tuple[str, ...]]:
    """Choose the series to read.

    Returns
    -------
    plan : Plan
        The volume to read.
    warnings : tuple of str
        What was chosen of several, and how to choose otherwise.

    Raises
    ------
    InputError
        No series, none of that UID or modality, several patients, or the reason why the
        largest cannot be read.
    GeometryError
        The slices of the largest series do not make one grid.
    """
    option = f"--{role}-series" if role else "series_uid"
    if series_uid is not None:
        stacks = [stack for stack in stacks if stack.series_uid == series_uid]
        if not stacks:
            raise InputError(
                f"no series {series_uid}", where=where, hint="list them with: refinefuse inspect"
            )
    if not stacks:
        raise InputError("no DICOM image and no NIfTI file found", where=where)
    plans, refusals = _plans(stacks)
    if not plans:
        raise _refusal(refusals, where)
    plans = _of_modality(plans, modality, where)
    if series_uid is None and len({p.stack.patient for p in plans}) > 1:
        raise InputError(
            f"series of {len({p.stack.patient for p in plans})} patients",
            where=where,
            hint=f"name the series with {option} UID",
        )
    best = max(plans, key=lambda p: _rank(p, role))
    if len(plans) == 1:
        return best, ()
    return best, (
        f"chosen of {len(plans)} readable series: {_name(best)}; {option} UID takes another",
    )


def _plans(stacks: Sequence[Stack]) -> tuple[list[Plan], list[RefineFuseError]]:
    """Plan every stack; the refusals are in the order of their number of files."""
    plans: list[Plan] = []
    refusals: list[RefineFuseError] = []
    for stack in sorted(stacks, key=lambda stack: -len(stack.files)):
        try:
            plans.append(plan(stack))
        except RefineFuseError as error:
            refusals.append(error)
    return plans, refusals


def _refusal(refusals: Sequence[RefineFuseError], where: object) -> RefineFuseError:
    """Say why nothing can be read: the reason of the largest series stands for all."""
    largest = refusals[0]
    reason = largest.what if largest.where is None else f"{largest.where}: {largest.what}"
    if len(refusals) > 1:
        reason = f"none of {len(refusals)} series can be read; the largest: {reason}"
    return type(largest)(reason, where=where, hint=largest.hint)


def _of_modality(plans: list[Plan], modality: str | None, where: object) -> list[Plan]:
    if modality is None:
        return plans
    fitting = [p for p in plans if p.scale.modality in (modality, "OT")]
    if not fitting:
        found = ", ".join(sorted({p.scale.modality for p in plans}))
        raise InputError(f"no series of modality {modality}, found {found}", where=where)
    return fitting


def _rank(candidate: Plan, role: Role | None) -> tuple[object, ...]:
    header = candidate.stack.header
    return (
        len(candidate.frames) > 1,
        _LIKING[role].get(candidate.scale.modality, 0),
        "DERIVED" not in image_type(header),
        # Of two PET series the one corrected for attenuation.
        "ATTN" in str(header.get("CorrectedImage", "")),
        len(candidate.frames),
        -max(candidate.spacing_mm),
        text(header, "SeriesInstanceUID"),
    )


def _name(chosen: Plan) -> str:
    shape = " x ".join(str(n) for n in chosen.shape)
    return f"{chosen.scale.modality} of {shape} voxels, series {chosen.stack.series_uid}"
