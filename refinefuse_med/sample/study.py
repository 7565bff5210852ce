"""Writing the sample study, as NIfTI or as DICOM."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med.errors import UsageError
from refinefuse_med.sample.dicom_study import DEFAULT_PATIENT_ID, SERIES_FOLDERS, write_study
from refinefuse_med.sample.pose import posed_scan, quantum_of
from refinefuse_med.sample.volumes import SCAN_FILES, sample_truth, shipped_file

__all__ = ["make_sample"]


def make_sample(
    out: str | Path, *, seed: int = 0, dicom: bool = False, patient_id: str | None = None
) -> list[Path]:
    """Write the four sample scans, and ``truth.json`` beside them.

    Parameters
    ----------
    out : Path
        Folder to write into; made where it is not there.
    seed : int
        0: the shipped scans. Another one: CT, PET and SPECT in other poses (up to 20
        degrees and 20 mm away) and with other noise; the same seed, the same bytes.
    dicom : bool
        A DICOM study of four series, in the folders MR, CT, PT and NM, instead of NIfTI.
    patient_id : str, optional
        Patient ID of the DICOM study; another patient has other UIDs.

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    UsageError
        A negative seed, or a patient ID that DICOM does not allow or NIfTI cannot hold.
    InputError
        The shipped scans are missing from this installation.
    """
    out = Path(out)
    if patient_id is not None and not dicom:
        raise UsageError("NIfTI holds no patient ID", where="--patient", hint="add --dicom")
    scans = {name: posed_scan(name, seed) for name in SCAN_FILES}
    volumes = {name: volume for name, (volume, _) in scans.items()}
    poses = {name: pose for name, (_, pose) in scans.items()}
    out.mkdir(parents=True, exist_ok=True)
    if dicom:
        patient_id = DEFAULT_PATIENT_ID if patient_id is None else patient_id
        written = write_study(volumes, out, seed, patient_id)
    else:
        written = [_write_scan(name, volumes[name], seed, out) for name in SCAN_FILES]
    truth = out / "truth.json"
    record = {
        **posed_truth(sample_truth(), poses),
        "seed": seed,
        "scans": SERIES_FOLDERS if dicom else SCAN_FILES,
    }
    truth.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return [*written, truth]


def posed_truth(truth: dict[str, Any], poses: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """The truth after each scan's points were moved by its pose, LPS mm."""
    moved = copy.deepcopy(truth)
    for name, pose in poses.items():
        if name in truth["fixed_to_moving_lps"]:
            matrix = pose @ np.array(truth["fixed_to_moving_lps"][name])
            moved["fixed_to_moving_lps"][name] = matrix.tolist()
        for label, point in truth["landmarks_lps"][name].items():
            moved["landmarks_lps"][name][label] = (pose @ [*point, 1.0])[:3].round(4).tolist()
    return moved


def _write_scan(name: str, volume: MetaTensor, seed: int, out: Path) -> Path:
    source, path = shipped_file(SCAN_FILES[name]), out / SCAN_FILES[name]
    if seed == 0:
        shutil.copyfile(source, path)
        return path
    # The grid is that of the shipped scan, and so are the header and the scale.
    shipped, quantum = nib.load(source), quantum_of(name)
    stored = np.round(volume[0].numpy() / quantum).astype(np.int16)
    image = nib.Nifti1Image(stored, shipped.affine, shipped.header)
    image.header.set_slope_inter(quantum, 0)
    nib.save(image, path)
    return path
