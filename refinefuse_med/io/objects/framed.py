"""Objects of many frames that highdicom builds: what it is given, and what is ours in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import SecondaryCaptureImageStorage

from refinefuse_med.io.objects.references import Sources, derivation_image, list_references
from refinefuse_med.io.objects.slices import planes_of
from refinefuse_med.volume import Grid, SourceHeader

__all__ = ["complete", "framed_arguments"]


def framed_arguments(series: Dataset, grid: Grid, size: tuple[int, ...]) -> dict[str, Any]:
    """Arguments that every class of highdicom with frames takes: the series, and their places.

    `size` is (rows, columns).
    """
    import highdicom as hd

    planes = planes_of(grid)
    first = planes[0]
    return {
        "source_images": [_stand_in(series, first, size)],
        "series_instance_uid": series.SeriesInstanceUID,
        "series_number": max(1, series.SeriesNumber),
        "sop_instance_uid": series.SOPInstanceUID,
        "instance_number": 1,
        "manufacturer": series.Manufacturer,
        "manufacturer_model_name": series.ManufacturerModelName,
        "software_versions": series.SoftwareVersions,
        "device_serial_number": series.DeviceSerialNumber,
        "pixel_measures": hd.PixelMeasuresSequence(
            pixel_spacing=[float(v) for v in first.PixelSpacing],
            slice_thickness=float(first.SliceThickness),
            spacing_between_slices=float(first.SpacingBetweenSlices),
        ),
        "plane_orientation": hd.PlaneOrientationSequence(
            "PATIENT", [float(v) for v in first.ImageOrientationPatient]
        ),
        "plane_positions": [
            hd.PlanePositionSequence("PATIENT", [float(v) for v in p.ImagePositionPatient])
            for p in planes
        ],
    }


def complete(
    instance: Dataset,
    series: Dataset,
    sources: Sources,
    code: Code,
    listed: Sequence[SourceHeader],
    slice_of: Callable[[int, Dataset], int] = lambda number, _: number,
) -> None:
    """Put into a built object what highdicom cannot know.

    Parameters
    ----------
    instance : Dataset
        What highdicom has built; changed in place.
    series : Dataset
        Patient, study and series of ours, which know more than the image that highdicom was given.
    sources : Sources
        Images that the frames were made from.
    code : Code
        How.
    listed : sequence of SourceHeader
        The series to list whole.
    slice_of : callable
        From the number of a frame and its functional groups to its index along K.
    """
    instance.update(series)
    for number, groups in enumerate(instance.PerFrameFunctionalGroupsSequence):
        groups.pop("DerivationImageSequence", None)
        if derived := derivation_image(sources, slice_of(number, groups), code):
            groups.DerivationImageSequence = derived
    for keyword in ("SourceImageSequence", "ReferencedSeriesSequence"):
        instance.pop(keyword, None)
    if sources.spares_frames:
        sources.add_all_to(instance)
    if sources.first is not None:
        list_references(instance, listed)


def _stand_in(series: Dataset, plane: Dataset, size: tuple[int, ...]) -> Dataset:
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
