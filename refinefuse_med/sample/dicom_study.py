"""The sample scans as one DICOM study of four series."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monai.data import MetaTensor

from refinefuse_med.errors import UsageError
from refinefuse_med.sample.dicom_common import Uids, add_common, save
from refinefuse_med.sample.dicom_nm import nm_object
from refinefuse_med.sample.dicom_series import ct_objects, mr_objects, pet_objects

__all__ = ["DEFAULT_PATIENT_ID", "SERIES_FOLDERS", "write_study"]

DEFAULT_PATIENT_ID: Final = "SAMPLE"
SERIES_FOLDERS: Final = {"mr": "MR", "ct": "CT", "pet": "PT", "spect": "NM"}

_MAKERS: Final = {
    "mr": mr_objects,
    "ct": ct_objects,
    "pet": pet_objects,
    "spect": lambda volume: iter([nm_object(volume)]),
}


def write_study(
    volumes: dict[str, MetaTensor], out: Path, seed: int, patient_id: str
) -> list[Path]:
    """Write MR, CT and PT as single-frame series and NM as one multi-frame object.

    Each series has a frame of reference of its own, since the head lies differently in each.
    UIDs follow from `seed` and `patient_id`.

    Parameters
    ----------
    volumes : dict of str to MetaTensor
        The scans by name, shape (1, I, J, K), in real units.
    out : Path
        An existing folder; a folder for each series is made in it.
    seed : int
    patient_id : str

    Returns
    -------
    list of Path
        The files, in the order of the series and of the K axis.

    Raises
    ------
    UsageError
        A patient ID that DICOM does not allow (LO, PS3.5 section 6.2).
    """
    _require_patient_id(patient_id)
    written = []
    for number, (name, volume) in enumerate(volumes.items(), start=1):
        folder = out / SERIES_FOLDERS[name]
        folder.mkdir(exist_ok=True)
        uids = Uids(f"refinefuse-med sample {seed} {patient_id}", name)
        for index, dataset in enumerate(_MAKERS[name](volume), start=1):
            add_common(dataset, patient_id=patient_id, uids=uids, number=number, index=index)
            path = folder / f"{index:04d}.dcm"
            save(dataset, path)
            written.append(path)
    return written


def _require_patient_id(patient_id: str) -> None:
    plain = patient_id.isascii() and patient_id.isprintable() and "\\" not in patient_id
    if not plain or not 0 < len(patient_id.strip()) <= 64:
        raise UsageError(
            "not a patient ID that DICOM allows",
            where="--patient",
            hint="use 1 to 64 ASCII characters, no backslash",
        )
