"""Coded concepts: units of UCUM, and items of code sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UCUM", "code_item", "real_world_mapping", "unit_of"]

UCUM: Final[Mapping[str, Code]] = {
    "SUVbw": Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    "Bq/ml": Code("Bq/ml", "UCUM", "Becquerels/milliliter"),
    "HU": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    "counts": Code("{counts}", "UCUM", "Counts"),
    "ratio": Code("{ratio}", "UCUM", "ratio"),
}
"""Units of a volume (`refinefuse_med.volume.Keys`) to their codes (PS3.16 CID 7181)."""

_NO_UNITS: Final = Code("1", "UCUM", "no units")


def unit_of(units: str) -> Code:
    """The UCUM code of a volume's units; that of no units where they are arbitrary."""
    return UCUM.get(units, _NO_UNITS)


def code_item(code: Code) -> Dataset:
    """Make the item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def real_world_mapping(units: str, slope: float, first: int, last: int) -> Dataset:
    """Say what stored integers from `first` to `last` mean: times `slope`, in `units`.

    An item of the Real World Value Mapping Sequence (PS3.3 C.7.6.16.2.11).
    """
    item = Dataset()
    item.LUTExplanation = item.LUTLabel = units
    item.RealWorldValueFirstValueMapped = first
    item.RealWorldValueLastValueMapped = last
    item.RealWorldValueSlope = slope
    item.RealWorldValueIntercept = 0.0
    item.MeasurementUnitsCodeSequence = [code_item(unit_of(units))]
    return item
