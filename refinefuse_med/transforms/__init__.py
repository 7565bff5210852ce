"""MONAI transforms, array and dictionary, thin over the library's own functions."""

from refinefuse_med.transforms.colour import (
    ColourFunctional,
    ColourFunctionalD,
    ColourFunctionald,
    ColourFunctionalDict,
)
from refinefuse_med.transforms.dicom_writer import DicomWriter
from refinefuse_med.transforms.fuse import FuseVolumes, FuseVolumesD, FuseVolumesd, FuseVolumesDict
from refinefuse_med.transforms.load import LoadVolume, LoadVolumeD, LoadVolumed, LoadVolumeDict
from refinefuse_med.transforms.register import (
    CoRegister,
    CoRegisterD,
    CoRegisterd,
    CoRegisterDict,
)
from refinefuse_med.transforms.save import SaveFused, SaveFusedD, SaveFusedd, SaveFusedDict
from refinefuse_med.transforms.steps import (
    ColourFused,
    ColourFusedD,
    ColourFusedd,
    ColourFusedDict,
    PrepareFusion,
    PrepareFusionD,
    PrepareFusiond,
    PrepareFusionDict,
)

__all__ = [
    "CoRegister",
    "CoRegisterD",
    "CoRegisterDict",
    "CoRegisterd",
    "ColourFunctional",
    "ColourFunctionalD",
    "ColourFunctionalDict",
    "ColourFunctionald",
    "ColourFused",
    "ColourFusedD",
    "ColourFusedDict",
    "ColourFusedd",
    "DicomWriter",
    "FuseVolumes",
    "FuseVolumesD",
    "FuseVolumesDict",
    "FuseVolumesd",
    "LoadVolume",
    "LoadVolumeD",
    "LoadVolumeDict",
    "LoadVolumed",
    "PrepareFusion",
    "PrepareFusionD",
    "PrepareFusionDict",
    "PrepareFusiond",
    "SaveFused",
    "SaveFusedD",
    "SaveFusedDict",
    "SaveFusedd",
]
