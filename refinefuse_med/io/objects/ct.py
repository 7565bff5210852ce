"""The registered volume as CT Images (PS3.3 A.3)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from refinefuse_med.io.objects.acquisition import complete, inherit

__all__ = ["as_ct"]


def as_ct(series: Dataset, header: Dataset) -> None:
    """Add the CT Image module (PS3.3 C.8.2.1)."""
    if "SharedFunctionalGroupsSequence" not in header:  # an enhanced image says it otherwise
        inherit(series, header)
    series.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    series.AcquisitionNumber = header.get("AcquisitionNumber")
    complete(series, ("KVP",))
