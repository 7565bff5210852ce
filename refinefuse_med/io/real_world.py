"""Units of maps and captures: the real world value mapping (PS3.3 C.7.6.16.2.11)."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage

from refinefuse_med.errors import InputError
from refinefuse_med.io.elements import items, numbers, text, uid_name
from refinefuse_med.io.objects.codes import UCUM

__all__ = ["is_map", "stated_units"]

_UNITS: Final = {code.value: units for units, code in UCUM.items()}
_WITHOUT: Final = ("", "1")
_MAPPING: Final = "RealWorldValueMappingSequence"


def is_map(header: Dataset) -> bool:
    """Whether this is a Parametric Map, whose values have the units of its mapping."""
    return text(header, "SOPClassUID") == ParametricMapStorage


def stated_units(header: Dataset) -> str | None:
    """The units of a map, or of a secondary capture whose rescale is mapped to some.

    Our name of them where we have one, else their code; None where the object says its units
    elsewhere, or nowhere.

    Raises
    ------
    InputError
        The frames of a map have several units, or a table instead of a slope.
    """
    if is_map(header):
        groups = [
            *items(header, "SharedFunctionalGroupsSequence"),
            *items(header, "PerFrameFunctionalGroupsSequence"),
        ]
        mappings = [found[0] for g in groups if (found := items(g, _MAPPING))]
        if not all("RealWorldValueSlope" in mapping for mapping in mappings):
            raise InputError("a parametric map without the slope of its values")
    elif "Secondary Capture" in uid_name(text(header, "SOPClassUID")):
        mappings = [
            m
            for m in items(header, _MAPPING)
            if _line(m, "RealWorldValue") == _line(header, "Rescale")
        ]
    else:
        return None
    codes = {
        text(unit, "CodeValue")
        for mapping in mappings
        for unit in items(mapping, "MeasurementUnitsCodeSequence")
    }
    if len(codes) > 1:
        raise InputError(f"values in several units ({', '.join(sorted(codes))})")
    code = codes.pop() if codes else ""
    if code in _WITHOUT:
        return "a.u." if is_map(header) else None
    return _UNITS.get(code, code)


def _line(item: Dataset, prefix: str) -> tuple[float, ...]:
    return numbers(item, f"{prefix}Slope") + numbers(item, f"{prefix}Intercept")
