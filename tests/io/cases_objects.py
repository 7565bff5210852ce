"""Cases of what kind of object the images are in."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)

from refinefuse_med.volume import Keys
from tests.io.case import Case, in_place, series, tagged
from tests.io.corpus import (
    AXIAL,
    SAGITTAL,
    Scan,
    base,
    make_slice,
    stored,
    write_enhanced,
    write_nm,
    write_scan,
)

NM = {"modality": "NM"}


def enhanced(order, change=None):
    def make(folder: Path) -> Path:
        path = write_enhanced(folder / "e.dcm", Scan(), order)
        if change is not None:
            ds = dcmread(path)
            change(ds)
            ds.save_as(path)
        return path

    return make


def divided(*, without=None, total=True, offset=0, concatenated=True):
    """An enhanced object of five frames in three files, or one for each of its frames."""

    def make(folder: Path) -> None:
        scan = Scan()
        parts = [[3, 0], [4, 1], [2]] if concatenated else [[k] for k in range(5)]
        before = 0
        for number, order in enumerate(parts):
            path = write_enhanced(folder / f"{5 - number}.dcm", scan, order)
            ds = dcmread(path)
            ds.InstanceNumber = 1 if concatenated else number
            if concatenated:
                ds.ConcatenationUID, ds.InConcatenationNumber = "1.2.3", number + 1
                ds.ConcatenationFrameOffsetNumber = before + offset * (number == 1)
                if total:
                    ds.InConcatenationTotalNumber = len(parts)
            ds.save_as(path)
            before += len(order)
            if number == without:
                path.unlink()

    return make


def _echoes(ds: Dataset) -> None:
    for n, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.EffectiveEchoTime = 15.0 * (1 + n % 2)
        groups.MREchoSequence = [item]


def _two_ways(folder: Path) -> Path:
    """An object of a sagittal and an axial stack, the sagittal one the larger."""
    axial = Scan(orientation=AXIAL, slices=3)
    sagittal = Scan(orientation=SAGITTAL, slices=5)
    path = write_enhanced(folder / "e.dcm", sagittal, list(range(5)))
    first = dcmread(path)
    second = dcmread(write_enhanced(folder / "other.dcm", axial, list(range(3))))
    (folder / "other.dcm").unlink()
    for groups in second.PerFrameFunctionalGroupsSequence:
        first.PerFrameFunctionalGroupsSequence.append(groups)
    first.NumberOfFrames = 8
    first.PixelData += second.PixelData
    first.save_as(path)
    return path


def _without_groups(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence


def nuclear(**options):
    def make(folder: Path) -> Path:
        return write_nm(folder / "nm.dcm", Scan(**NM), **options)

    return make


def _gated(folder: Path) -> Path:
    scan = Scan(**NM)
    order = [k for _ in range(2) for k in range(scan.slices)]
    return write_nm(
        folder / "nm.dcm", scan,
        ImageType=["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"],
        NumberOfFrames=len(order),
        SliceVector=[k + 1 for k in order],
        TimeSlotVector=[1 + n // scan.slices for n in range(len(order))],
        PixelData=b"".join(stored(scan.plane(scan.position(k))).tobytes() for k in order),
    )  # fmt: skip


def _nm_files(folder: Path) -> None:
    scan = Scan(**NM)
    for k in range(scan.slices):
        origin = tuple(float(v) for v in scan.position(k))
        one = Scan(**{**vars(scan), "slices": 1, "origin": origin})
        write_nm(folder / f"{k}.dcm", one)


def csa(**tags) -> bytes:
    """The maker's header of a Siemens MR image: names and the texts of their values."""
    parts = [b"SV10\4\3\2\1", struct.pack("<2I", len(tags), 77)]
    for name, values in tags.items():
        vr = b"IS" if isinstance(values[0], int) else b"FD"
        count = len(values)
        parts.append(struct.pack("<64si4s3i", name.encode(), count, vr, 6, count, 77))
        for value in values:
            text = str(value).encode() + b"\0"
            parts.append(struct.pack("<4i", len(text), len(text), 77, len(text)))
            parts.append(text + b"\0" * (-len(text) % 4))
    return b"".join(parts)


def mosaic(header: bool = True):
    """Five slices in a mosaic of three by three tiles, against the image normal."""

    def make(folder: Path) -> None:
        scan = Scan()
        tiles = np.zeros((3 * scan.rows, 3 * scan.columns), np.uint16)
        for number in range(scan.slices):
            top, left = number // 3 * scan.rows, number % 3 * scan.columns
            plane = stored(scan.plane(scan.position(-number)))
            tiles[top : top + scan.rows, left : left + scan.columns] = plane
        ds = make_slice(scan, 0)
        ds.Rows, ds.Columns = tiles.shape
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
        ds.SpacingBetweenSlices = scan.spacing[2]
        affine = scan.affine_lps
        # As the scanner writes it: the mosaic's corner, were its middle that of the slice.
        corner = affine[:3, 3] - affine[:3, 0] * scan.columns - affine[:3, 1] * scan.rows
        ds.ImagePositionPatient = [round(float(v), 6) for v in corner]
        ds.PixelData = tiles.tobytes()
        if header:
            normal = -affine[:3, 2] / scan.spacing[2]
            block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            held = csa(NumberOfImagesInMosaic=[scan.slices], SliceNormalVector=list(normal))
            block.add_new(0x10, "OB", held)
        ds.save_as(folder / "mosaic.dcm")

    return make


def times(**tags):
    """Three volumes in one series; each tag has a value for each volume."""

    def make(folder: Path) -> None:
        scan = Scan()
        for number in range(3):
            for k in range(scan.slices):
                ds = make_slice(scan, k)
                for name, values in tags.items():
                    setattr(ds, name, values[number])
                ds.save_as(folder / f"{number}-{k}.dcm")

    return make


def coloured(photometric: str):
    def change(ds, k):
        grey = np.arange(ds.Rows * ds.Columns, dtype=np.uint8) + k
        ds.PhotometricInterpretation = photometric
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit = 7
        if photometric == "RGB":
            ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
            ds.PixelData = np.stack([grey, 255 - grey, grey // 2], -1).tobytes()
        else:
            ds.PixelData = grey.tobytes()
            for name, table in (("Red", RAMP), ("Green", 255 - RAMP), ("Blue", RAMP // 2)):
                setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
                setattr(ds, f"{name}PaletteColorLookupTableData", table.astype("u1").tobytes())
        ds.PixelData += b"\0" * (len(ds.PixelData) % 2)

    return series(change)


RAMP = np.arange(256)


def is_coloured(volume) -> None:
    assert volume.shape == (3, 9, 7, 5)
    grey = np.arange(63).reshape(7, 9).T[..., None] + np.arange(5)
    np.testing.assert_array_equal(volume.numpy(), [grey, 255 - grey, grey // 2])


def beside(sop_class: str):
    """A scan and an object without an image."""

    def make(folder: Path) -> None:
        write_scan(folder, Scan())
        ds = base(Scan(), sop_class)
        del ds.Rows, ds.Columns
        ds.save_as(folder / "object.dcm")

    return make


def is_of(volume, modality: str, units: str = "counts") -> None:
    in_place(volume)
    assert (volume.meta[Keys.MODALITY], volume.meta[Keys.UNITS]) == (modality, units)


def thick_and_thin(folder: Path) -> None:
    thick = Scan("CT", orientation=AXIAL, spacing=(2, 2, 4.0))
    thin = Scan("CT", orientation=AXIAL, spacing=(2, 2, 1.0), slices=17)
    thin.series_uid, thin.frame_of_reference_uid = thick.series_uid, thick.frame_of_reference_uid
    for scan in (thick, thin):
        write_scan(folder / f"{scan.slices}", scan)


def _shared_ct(ds: Dataset) -> None:
    ds.SOPClassUID, ds.Modality = EnhancedCTImageStorage, "CT"
    shared = Dataset()
    for name in ("PlaneOrientation", "PixelMeasures", "PixelValueTransformation"):
        for groups in ds.PerFrameFunctionalGroupsSequence:
            setattr(shared, f"{name}Sequence", groups[f"{name}Sequence"].value)
            del groups[f"{name}Sequence"]
    ds.SharedFunctionalGroupsSequence = [shared]


ORDER = [3, 0, 4, 1, 2]
TWO = [k for k in range(5) for _ in range(2)]

CASES = [
    Case("an enhanced object, frames in any order", enhanced(ORDER)),
    Case("an enhanced object of two echoes", enhanced(TWO, _echoes), "2 volumes in one series",
         refused=True),
    Case("one of two echoes of an enhanced object", enhanced(TWO, _echoes), "echo time 30 ms",
         options={"series_uid": "#2"}),
    Case("an enhanced object whose volumes nothing tells apart", enhanced(TWO),
         "by the order of their images alone", options={"series_uid": "#1"}),
    Case("one orientation of an enhanced object of two", _two_ways, "orientation 2",
         options={"series_uid": "#2"}),
    Case("an enhanced object without functional groups", enhanced(ORDER, _without_groups),
         "without positions of its frames", refused=True),
    Case("an enhanced object with too few functional groups",
         enhanced(ORDER, lambda ds: ds.PerFrameFunctionalGroupsSequence.pop()),
         "5 frames, but the geometry of 4", refused=True),
    Case("a concatenation of three parts", divided(), "3 parts of a concatenation were joined"),
    Case("a concatenation that does not say of how many parts", divided(total=False),
         "how many parts it has is not said"),
    Case("a concatenation without its second part", divided(without=1),
         "a concatenation without its part 2 of 3", refused=True),
    Case("a concatenation without its last part", divided(without=2),
         "a concatenation without its part 3 of 3", refused=True),
    Case("a concatenation whose parts do not fit together", divided(offset=1),
         "begins with frame 4, and those before it have 2", refused=True),
    Case("an enhanced object for each slice", divided(concatenated=False)),
    Case("a reconstructed SPECT (NM)", nuclear()),
    Case("NM whose slices run against the normal", nuclear(sign=-1)),
    Case("NM without a position", nuclear(detector=False), "centred on the origin",
         check=lambda v: None),
    Case("planar NM", nuclear(ImageType=["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]),
         "NM of type STATIC: planar", refused=True),
    Case("projections of a SPECT", nuclear(ImageType=["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]),
         "NM of type TOMO: planar or not reconstructed", refused=True),
    Case("one time slot of a gated SPECT", _gated, "time slot 2", options={"series_uid": "#2"}),
    Case("NM with a file for each slice", _nm_files),
    Case("a Siemens mosaic", mosaic()),
    Case("a Siemens mosaic without the maker's header", mosaic(header=False),
         "Siemens mosaic without the maker's header", refused=True),
    Case("a dynamic PET, no frame chosen",
         times(Modality=["PT"] * 3, FrameReferenceTime=[0, 60_000, 120_000]),
         "3 volumes in one series (at 0 s; at 60 s; at 120 s)", refused=True),
    Case("a frame of a dynamic PET", times(FrameReferenceTime=[0, 60_000, 120_000]),
         "volume 3 of 3", options={"series_uid": "#3"}),
    Case("an echo of several", times(EchoTime=[10, 20, 30]), "echo time 20 ms",
         options={"series_uid": "#2"}),
    Case("a b-value of several", times(DiffusionBValue=[0.0, 500.0, 1000.0]), "b = 1000 s/mm2",
         options={"series_uid": "#3"}),
    Case("magnitude and phase in one series",
         times(ImageType=[["ORIGINAL", "PRIMARY", kind] for kind in "MPI"]),
         "ORIGINAL/PRIMARY/P", options={"series_uid": "#3"}),
    Case("a secondary capture", tagged(SOPClassUID=SecondaryCaptureImageStorage,
                                       ImagePositionPatient=None),
         "a picture, not a scan", refused=True),
    Case("a secondary capture with a position", tagged(SOPClassUID=SecondaryCaptureImageStorage),
         "its values may not be those of the scan"),
    Case("colour pictures (RGB)", coloured("RGB"), "the colours are kept", check=is_coloured),
    Case("colour pictures (palette)", coloured("PALETTE COLOR"), "the colours are kept",
         check=is_coloured),
    Case("ultrasound", tagged(Modality="US"), "modality US is not one that can be fused",
         refused=True),
    Case("a localizer alone", tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer",
         refused=True),
    Case("an unknown photometric interpretation", tagged(PhotometricInterpretation="HSV"),
         "unknown kind of image (HSV)", refused=True),
    Case("a dose report beside the scan", beside(XRayRadiationDoseSRStorage)),
    Case("a presentation state beside the scan",
         beside(GrayscaleSoftcopyPresentationStateStorage)),
    Case("SPECT stored as PET, with the retired code of SPECT (ST)",
         lambda folder: write_scan(
             folder, Scan("PT", tags={"Modality": "ST", "Units": "CNTS"}))[:0],
         check=lambda v: is_of(v, "NM")),
    Case("two kernels in turn", series(
        lambda ds, k: setattr(ds, "ConvolutionKernel", ("B30f", "B70f")[k % 2]), modality="CT"),
         "its slices differ in the reconstruction kernel: B30f, B70f"),
    Case("a thick and a thin reconstruction in one series", thick_and_thin,
         "slices of 1 mm", options={"series_uid": "#1"}),
    Case("an enhanced CT with shared functional groups", enhanced(ORDER, _shared_ct),
         check=lambda v: is_of(v, "CT", "HU")),
    Case("SPECT stored as PET", tagged(Modality="PT", Units="CNTS"), "PET in counts"),
    Case("axial CT", series(modality="CT", orientation=AXIAL), check=in_place),
]  # fmt: skip
