"""Studies and archives to run batches on, made anew."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

from refinefuse_med.io import write_nifti
from refinefuse_med.sample.dicom_study import write_study
from refinefuse_med.sample.pose import posed_scan
from refinefuse_med.volume import affine_ras, grid_of, make_volume, modality_of

__all__ = ["make_archive", "make_pair", "make_studies"]

_KINDS = {
    "MR": MRImageStorage,
    "MR2": MRImageStorage,
    "CT": CTImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}


def make_studies(root: Path, count: int, coarse: int = 1, *, dicom: bool = False) -> None:
    """Write `count` studies of an MR and a PET, each in another pose, `coarse` times as coarse."""
    for seed in range(count):
        folder = root / f"study-{seed:04d}"
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        volumes = {name: _coarser(posed_scan(name, seed)[0], coarse) for name in ("mr", "pet")}
        if dicom:
            write_study(volumes, folder, seed, f"STUDY{seed}")
            continue
        for name, volume in volumes.items():
            write_nifti(volume, folder / f"{name}.nii.gz")


def make_pair(
    root: Path,
    size: tuple[int, int, int],
    pet: tuple[int, int, int] = (128, 128, 90),
    *,
    dicom: bool = False,
) -> None:
    """Write one study: an MR and a PET of these sizes, in different poses."""
    shapes = {"mr": size, "pet": pet}
    volumes = {name: _resized(posed_scan(name, 0)[0], shape) for name, shape in shapes.items()}
    root.mkdir(parents=True)
    if dicom:
        write_study(volumes, root, 0, "PAIR")
        return
    for name, volume in volumes.items():
        write_nifti(volume, root / f"{name}.nii.gz")


def _resized(volume: MetaTensor, shape: tuple[int, int, int]) -> MetaTensor:
    """The same field of view on a grid of another size."""
    affine = affine_ras(volume).copy()
    for axis, (old, new) in enumerate(zip(grid_of(volume).shape, shape, strict=True)):
        affine[:3, 3] += affine[:3, axis] * (old / new - 1) / 2
        affine[:3, axis] *= old / new
    values = torch.nn.functional.interpolate(volume.as_tensor()[None], size=shape, mode="trilinear")
    return make_volume(values[0], affine, modality=modality_of(volume))


def _coarser(volume: MetaTensor, coarse: int) -> MetaTensor:
    shape = [size // coarse for size in grid_of(volume).shape]
    affine = affine_ras(volume).copy()
    affine[:3, 3] += affine[:3, :3].sum(axis=1) * (coarse - 1) / 2  # middle of the first block
    affine[:3, :3] *= coarse
    means = torch.nn.functional.avg_pool3d(volume.as_tensor()[None], coarse)[0]
    kept = means[:, : shape[0], : shape[1], : shape[2]]
    return make_volume(kept, affine, modality=modality_of(volume))


def make_archive(root: Path, series: int, slices: int = 4) -> None:
    """Write headers of patients with two MR, a CT and a PET each, with hardly any pixels."""
    for person in range(series // len(_KINDS)):
        for kind, sop_class in _KINDS.items():
            folder = root / f"p{person:05d}" / kind
            if folder.exists():
                continue
            folder.mkdir(parents=True)
            for index in range(slices):
                _slice(person, kind, sop_class, index).save_as(
                    folder / f"{index:04d}.dcm", enforce_file_format=True
                )


def _slice(person: int, kind: str, sop_class: str, index: int) -> Dataset:
    def uid(*of: object) -> str:
        return generate_uid(entropy_srcs=[str(part) for part in of])

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid(person, kind, index)
    dataset.Modality = kind[:2]
    dataset.PatientID, dataset.PatientName = f"P{person}", f"Name^{person}"
    dataset.PatientBirthDate = "19500101"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study", person), uid(person, kind)
    dataset.FrameOfReferenceUID = uid("frame", person, kind)
    dataset.StudyDate = dataset.SeriesDate = "20200101"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription, dataset.BodyPartExamined = "head", "HEAD"
    dataset.ImagePositionPatient = ["0", "0", str(index * 3.0)]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing, dataset.SliceThickness = ["1", "1"], "3"
    dataset.Rows = dataset.Columns = 16
    dataset.InstanceNumber = index + 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.Units = "1", "0", "BQML"
    dataset.PixelData = bytes(2 * 16 * 16)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset
