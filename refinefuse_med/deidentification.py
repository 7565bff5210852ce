"""A result that tells nobody who the patient is, before anything of it is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from refinefuse_med.io import Deidentifier
from refinefuse_med.volume import Keys, get_meta, like, source_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from refinefuse_med.pseudonyms import Pseudonyms
    from refinefuse_med.results import FusionResult

__all__ = ["deidentify"]

_FACES: Final = "headers are de-identified, voxels are not: a head scan shows the face"


def deidentify(result: FusionResult, pseudonyms: Pseudonyms) -> FusionResult:
    """Clean the headers of a result's volumes, its UIDs, and the texts of its record.

    Parameters
    ----------
    result : FusionResult
        Left as it is, but for its record: what is told of it from now on is clean too.
    pseudonyms : Pseudonyms
        The key: the same patient, study and series under it become the same others.
    """
    sources = [source_of(v) for v in (result.anatomical, result.functional_registered)]
    deidentifier = Deidentifier(pseudonyms, sources)

    def cleaned(volume: MetaTensor) -> MetaTensor:
        other = like(volume, volume.as_tensor())
        other.meta[Keys.SOURCE] = deidentifier.source(source_of(volume))
        for key in (Keys.FRAME_OF_REFERENCE_UID, Keys.SERIES_INSTANCE_UID):
            if uid := get_meta(volume, key):
                other.meta[key] = str(deidentifier.uid(uid))
        return other

    record = _cleaned_record(result.record, deidentifier)
    record["warnings"].append(_FACES)
    result.record.clear()
    result.record.update(record)
    return dataclasses.replace(
        result,
        anatomical=cleaned(result.anatomical),
        functional_registered=cleaned(result.functional_registered),
        picture=dataclasses.replace(result.picture, fused=cleaned(result.picture.fused)),
    )


def _cleaned_record(value: Any, deidentifier: Deidentifier, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _cleaned_record(v, deidentifier, name) for name, v in value.items()}
    if isinstance(value, list):
        return [_cleaned_record(v, deidentifier) for v in value]
    if not isinstance(value, str):
        return value
    return str(deidentifier.uid(value)) if key.endswith("_uid") else deidentifier.text(value)
