"""Standardised uptake values of PET, by the vendor-neutral rules of QIBA.

SUVbw = Bq/ml x body weight in g / injected dose in Bq, decayed to the time that the
scan is corrected to. What the header does not say is never guessed: the values then stay
what they are, and the reason is told.

Source: QIBA "SUV vendor-neutral pseudo-code"; PS3.3 sections C.8.9.1 and C.8.9.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from refinefuse_med.io.elements import items, numbers, text

__all__ = ["Calibration", "calibrate", "enhanced_units"]

MAX_HALF_LIVES: Final = 10.0
"""Longest believable time from injection to scan; longer means wrong dates."""

MIN_DOSE_BQ: Final = 1e5
"""Smallest believable dose; a smaller number is in MBq."""

MAX_WEIGHT_KG: Final = 500.0
"""Largest believable weight; a larger number is in g."""

_PHILIPS: Final = (0x7053, "Philips PET Private Group")
_PHILIPS_SUV: Final = 0x00
_PHILIPS_BQML: Final = 0x09


@dataclass(frozen=True)
class Calibration:
    """How rescaled PET values become `units`: times `factor`; `note` says why.

    ``factors`` holds one for each header where they differ: values that are not corrected for
    decay are activities of the moment that each image was taken.
    """

    factor: float
    units: str
    note: str
    factors: tuple[float, ...] = ()


class _UnknownError(Exception):
    """A value that SUV needs is missing or cannot be right."""


def calibrate(headers: Sequence[Dataset]) -> Calibration:
    """Find the factor from rescaled values to SUVbw.

    Parameters
    ----------
    headers : sequence of pydicom.Dataset
        Of every slice of one PET series.

    Returns
    -------
    Calibration
        In SUVbw; in Bq/ml, counts or a.u. with factor 1 where SUVbw cannot be known.
    """
    first = headers[0]
    units = text(first, "Units").upper()
    if units == "GML":
        kind = text(first, "SUVType").upper() or "BW"
        if kind == "BW":
            return Calibration(1.0, "SUVbw", "PET in SUVbw, as stored")
        return Calibration(1.0, "a.u.", f"PET in SUV of type {kind}, as stored: not SUVbw")
    if units == "CNTS":
        return _philips(headers)
    if units == "BQML":
        return _from_activity(headers, 1.0, "Bq/ml")
    if enhanced_units(first) == "BQML":
        return _from_enhanced(first)
    return Calibration(1.0, "a.u.", f"PET without an absolute scale (Units: {units or 'none'})")


def _philips(headers: Sequence[Dataset]) -> Calibration:
    suv, activity = (_private(headers[0], n) for n in (_PHILIPS_SUV, _PHILIPS_BQML))
    if suv:
        return Calibration(suv, "SUVbw", "PET in SUVbw, by the maker's factor (7053,1000)")
    if activity:
        return _from_activity(headers, activity, "counts")
    return Calibration(
        1.0, "counts", "PET in counts: no SUVbw without the factors (7053,1000) or (7053,1009)"
    )


def _from_activity(headers: Sequence[Dataset], factor: float, stored: str) -> Calibration:
    try:
        grams = _weight_g(headers[0])
        if text(headers[0], "DecayCorrection").upper() == "NONE":
            return _undecayed(headers, factor * grams)
        dose, hours = _dose_at_scan(headers)
    except _UnknownError as reason:
        return Calibration(1.0, stored, f"PET stays in {stored}: no SUVbw, {reason}")
    note = f"PET in SUVbw: dose decayed over {hours:.2f} h"
    return Calibration(factor * grams / dose, "SUVbw", note)


def _weight_g(header: Dataset) -> float:
    weight = _positive(header, "PatientWeight")
    if weight > MAX_WEIGHT_KG:
        raise _UnknownError(f"PatientWeight of {weight:g} kg cannot be right")
    return weight * 1000


def _positive(header: Dataset, keyword: str) -> float:
    found = numbers(header, keyword)
    if not found or not 0 < found[0] < math.inf:
        raise _UnknownError(f"{keyword} is missing")
    return found[0]


def _undecayed(headers: Sequence[Dataset], grams: float) -> Calibration:
    """Activities of the moment of each image, against the dose at that moment."""
    _require_correction(headers[0], "ATTN")
    agent, dose = _injected(headers[0])
    half_life = _positive(agent, "RadionuclideHalfLife")
    factors = []
    for header in headers:
        moment = _moment(header, "AcquisitionDate", "AcquisitionTime")
        if moment is None:
            raise _UnknownError("DecayCorrection is NONE and AcquisitionTime is missing")
        seconds = _since_injection(header, agent, moment) + _mean_time(header, half_life)
        factors.append(grams / (dose * _decay(seconds, half_life)))
    note = "PET in SUVbw: not corrected for decay, dose decayed to the time of each image"
    return Calibration(factors[0], "SUVbw", note, tuple(factors))


def enhanced_units(header: Dataset) -> str:
    """BQML where an enhanced object says so of its values; empty where it does not."""
    shared = (items(header, "SharedFunctionalGroupsSequence") or [Dataset()])[0]
    own = (items(header, "PerFrameFunctionalGroupsSequence") or [Dataset()])[0]
    for groups in (own, shared):
        for values in items(groups, "PixelValueTransformationSequence"):
            if text(values, "RescaleType").upper() in ("BQML", "BQ/ML"):
                return "BQML"
    return ""


def _from_enhanced(header: Dataset) -> Calibration:
    """Enhanced PET says to which moment its values are corrected (PS3.3 section C.8.22.4)."""
    try:
        grams = _weight_g(header)
        for keyword in ("DecayCorrected", "AttenuationCorrected"):
            if text(header, keyword).upper() != "YES":
                raise _UnknownError(f"{keyword} is not YES")
        agent, dose = _injected(header)
        moment = _parsed(DT, header.get("DecayCorrectionDateTime"))
        if moment is None:
            raise _UnknownError("DecayCorrectionDateTime is missing")
        seconds = _since_injection(header, agent, _local(header, moment))
        decay = _decay(seconds, _positive(agent, "RadionuclideHalfLife"))
    except _UnknownError as reason:
        return Calibration(1.0, "Bq/ml", f"PET stays in Bq/ml: no SUVbw, {reason}")
    note = f"PET in SUVbw: dose decayed over {seconds / 3600:.2f} h"
    return Calibration(grams / (dose * decay), "SUVbw", note)


def _require_correction(header: Dataset, name: str) -> None:
    if name not in str(header.get("CorrectedImage", "")):
        kind = {"ATTN": "attenuation", "DECY": "decay"}[name]
        raise _UnknownError(f"CorrectedImage names no {kind} correction ({name})")


def _injected(header: Dataset) -> tuple[Dataset, float]:
    """What was injected, and how much of it in Bq."""
    agents = items(header, "RadiopharmaceuticalInformationSequence")
    if not agents:
        raise _UnknownError("RadiopharmaceuticalInformationSequence is missing")
    dose = _positive(agents[0], "RadionuclideTotalDose")
    if dose < MIN_DOSE_BQ:
        raise _UnknownError(f"RadionuclideTotalDose of {dose:g} Bq cannot be right (MBq?)")
    return agents[0], dose


def _decay(seconds: float, half_life: float) -> float:
    """What is left of a dose after some time."""
    if not 0 <= seconds <= MAX_HALF_LIVES * half_life:
        raise _UnknownError(f"the scan is {seconds / 3600:.1f} h after the injection")
    return float(2.0 ** (-seconds / half_life))


def _mean_time(header: Dataset, half_life: float) -> float:
    """When in a frame its count rate is that of its mean, in s after its start."""
    milliseconds = numbers(header, "ActualFrameDuration")
    if not milliseconds or milliseconds[0] <= 0:
        return 0.0
    constant = math.log(2) / half_life
    decayed = constant * milliseconds[0] / 1000
    return math.log(decayed / -math.expm1(-decayed)) / constant


def _dose_at_scan(headers: Sequence[Dataset]) -> tuple[float, float]:
    """The dose in Bq at the time that the values are corrected to, and the hours till then."""
    first = headers[0]
    _require_correction(first, "ATTN")
    agent, dose = _injected(first)
    correction = text(first, "DecayCorrection").upper()
    if correction not in ("START", "ADMIN"):
        raise _UnknownError(
            f"DecayCorrection is {correction or 'missing'}, not START, ADMIN or NONE"
        )
    _require_correction(first, "DECY")
    if correction == "ADMIN":
        return dose, 0.0
    half_life = _positive(agent, "RadionuclideHalfLife")
    seconds = _since_injection(first, agent, _scan_start(headers, half_life))
    return dose * _decay(seconds, half_life), seconds / 3600


def _scan_start(headers: Sequence[Dataset], half_life: float) -> datetime:
    """The time that START corrects to: of the series, unless that is of later processing."""
    first = headers[0]
    series = _moment(first, "SeriesDate", "SeriesTime")
    acquired = [_moment(header, "AcquisitionDate", "AcquisitionTime") for header in headers]
    known = [moment for moment in acquired if moment is not None]
    earliest = min(known) if known else None
    if series is not None and (earliest is None or series <= earliest):
        return series
    if earliest is None:
        names = ("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime")
        lacking = [name for name in names if not text(first, name)]
        raise _UnknownError(f"{' and '.join(lacking) or 'usable dates and times'} are missing")
    return _ge_scan_start(first) or _counted_back(headers, earliest, half_life) or earliest


def _counted_back(
    headers: Sequence[Dataset], earliest: datetime, half_life: float
) -> datetime | None:
    """The start of the scan from when in it a frame was taken (FrameReferenceTime).

    Needed where the first frames are not here; None where the header has no such time.
    """
    for header in headers:
        reference = numbers(header, "FrameReferenceTime")
        known = reference and reference[0] > 0 and numbers(header, "ActualFrameDuration")
        if known and _moment(header, "AcquisitionDate", "AcquisitionTime") == earliest:
            back = _mean_time(header, half_life) - reference[0] / 1000
            start = earliest + timedelta(seconds=back)
            return start if start <= earliest else None
    return None


def _since_injection(header: Dataset, agent: Dataset, scan: datetime) -> float:
    """Seconds from injection to `scan`, a local time."""
    moment = _parsed(DT, agent.get("RadiopharmaceuticalStartDateTime"))
    if moment is not None:
        return (scan - _local(header, moment)).total_seconds()
    time = _parsed(TM, agent.get("RadiopharmaceuticalStartTime"))
    if time is None:
        raise _UnknownError(
            "RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime are missing"
        )
    injected = datetime.combine(scan.date(), time)
    if injected > scan:
        injected -= timedelta(days=1)
    return (scan - injected).total_seconds()


def _local(header: Dataset, moment: datetime) -> datetime:
    """A moment on the clock that dates and times without an offset from UTC are of.

    The header may say how far that is from UTC. Where it does not, the moment's own offset is
    taken to be the same.
    """
    offset = header.get("TimezoneOffsetFromUTC")
    clock = _parsed(lambda text: datetime.strptime(text, "%z").tzinfo, offset)
    if moment.tzinfo is not None and clock is not None:
        moment = moment.astimezone(clock)
    return moment.replace(tzinfo=None)


def _ge_scan_start(header: Dataset) -> datetime | None:
    """GE keeps the start of the scan in a private element, whatever is done to the series."""
    try:
        value = header.private_block(0x0009, "GEMS_PETD_01")[0x0D].value
    except KeyError:
        return None
    moment: datetime | None = _parsed(
        DT, value.decode("ascii", "ignore") if isinstance(value, bytes) else value
    )
    return None if moment is None else _local(header, moment)


def _moment(header: Dataset, date: str, time: str) -> datetime | None:
    day, clock = _parsed(DA, header.get(date)), _parsed(TM, header.get(time))
    return None if day is None or clock is None else datetime.combine(day, clock)


def _parsed(kind: Callable[[str], Any], value: Any) -> Any:
    """A DICOM date, time or both as Python's; None where absent or not one."""
    if value is None or not str(value).strip(" \0"):
        return None
    try:
        return kind(str(value).strip(" \0"))
    except (ValueError, TypeError):
        return None


def _private(header: Dataset, element: int) -> float | None:
    """A factor of Philips; also where de-identifying has taken the name of the maker's block."""
    try:
        value = header.private_block(*_PHILIPS)[element].value
    except KeyError:
        tag = (_PHILIPS[0], 0x1000 + element)
        if tag not in header or (_PHILIPS[0], 0x0010) in header:
            return None
        value = header[tag].value
    try:
        return float(value.decode("ascii") if isinstance(value, bytes) else value) or None
    except (TypeError, ValueError):
        return None
