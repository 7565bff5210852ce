"""What highdicom is given in place of a source image: patient and study stand in our series."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

__all__ = ["stand_in"]


def stand_in(series: Dataset, plane: Dataset, size: tuple[int, ...]) -> Dataset:
    """An image for highdicom to take the frame of reference from; it is not referred to.

    `size` is (rows, columns).
    """
    image = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        image[keyword] = series[keyword]
    image.update(plane)
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = series.SOPInstanceUID
    image.Modality = "OT"
    image.Rows, image.Columns = size
    image.PositionReferenceIndicator = None
    for keyword in (
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "AccessionNumber",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "ReferringPhysicianName",
    ):
        setattr(image, keyword, None)
    return image
