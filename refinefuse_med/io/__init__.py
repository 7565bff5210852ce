"""Reading and writing: DICOM, NIfTI, transforms, previews.

The names below are loaded when they are first used, so that ``inspect`` needs no torch
and reading needs nothing of writing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "load_each_modality": "refinefuse_med.io.load",
    "load_volume": "refinefuse_med.io.load",
    "Inspection": "refinefuse_med.io.inspection",
    "inspect_path": "refinefuse_med.io.inspection",
    "AtomicFolder": "refinefuse_med.io.atomic",
    "pair_landmarks": "refinefuse_med.io.landmarks",
    "read_landmarks": "refinefuse_med.io.landmarks",
    "read_deformed": "refinefuse_med.io.transform",
    "read_itk_transform": "refinefuse_med.io.transform",
    "read_transform": "refinefuse_med.io.transform",
    "centre_of": "refinefuse_med.io.scene",
    "render_alignment": "refinefuse_med.io.preview",
    "render_preview": "refinefuse_med.io.preview",
    "Deidentifier": "refinefuse_med.io.deidentify",
    "DicomOptions": "refinefuse_med.io.objects.study",
    "Shown": "refinefuse_med.io.objects.study",
    "write_dicom": "refinefuse_med.io.objects.study",
    "scale_of": "refinefuse_med.io.values",
    "write_itk": "refinefuse_med.io.itk_writer",
    "write_sidecar": "refinefuse_med.io.sidecar",
    "space_of": "refinefuse_med.io.nifti_writer",
    "write_nifti": "refinefuse_med.io.nifti_writer",
    "write_secondary_capture": "refinefuse_med.io.objects.secondary_capture",
    "SeriesEntry": "refinefuse_med.io.inspection",
    "atomic_file": "refinefuse_med.io.atomic",
    "write_json": "refinefuse_med.io.record",
    "write_report": "refinefuse_med.io.report",
    "write_segmentation": "refinefuse_med.io.objects.segmentation",
    "write_registered_series": "refinefuse_med.io.objects.registered_series",
    "write_displacement": "refinefuse_med.io.transform",
    "write_transform": "refinefuse_med.io.transform",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from refinefuse_med.io.atomic import AtomicFolder as AtomicFolder
    from refinefuse_med.io.atomic import atomic_file as atomic_file
    from refinefuse_med.io.deidentify import Deidentifier as Deidentifier
    from refinefuse_med.io.inspection import Inspection as Inspection
    from refinefuse_med.io.inspection import SeriesEntry as SeriesEntry
    from refinefuse_med.io.inspection import inspect_path as inspect_path
    from refinefuse_med.io.itk_writer import write_itk as write_itk
    from refinefuse_med.io.landmarks import pair_landmarks as pair_landmarks
    from refinefuse_med.io.landmarks import read_landmarks as read_landmarks
    from refinefuse_med.io.load import load_each_modality as load_each_modality
    from refinefuse_med.io.load import load_volume as load_volume
    from refinefuse_med.io.nifti_writer import space_of as space_of
    from refinefuse_med.io.nifti_writer import write_nifti as write_nifti
    from refinefuse_med.io.objects.registered_series import (
        write_registered_series as write_registered_series,
    )
    from refinefuse_med.io.objects.secondary_capture import (
        write_secondary_capture as write_secondary_capture,
    )
    from refinefuse_med.io.objects.segmentation import write_segmentation as write_segmentation
    from refinefuse_med.io.objects.study import DicomOptions as DicomOptions
    from refinefuse_med.io.objects.study import Shown as Shown
    from refinefuse_med.io.objects.study import write_dicom as write_dicom
    from refinefuse_med.io.preview import render_alignment as render_alignment
    from refinefuse_med.io.preview import render_preview as render_preview
    from refinefuse_med.io.record import write_json as write_json
    from refinefuse_med.io.report import write_report as write_report
    from refinefuse_med.io.scene import centre_of as centre_of
    from refinefuse_med.io.sidecar import write_sidecar as write_sidecar
    from refinefuse_med.io.transform import read_deformed as read_deformed
    from refinefuse_med.io.transform import read_itk_transform as read_itk_transform
    from refinefuse_med.io.transform import read_transform as read_transform
    from refinefuse_med.io.transform import write_displacement as write_displacement
    from refinefuse_med.io.transform import write_transform as write_transform
    from refinefuse_med.io.values import scale_of as scale_of


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
