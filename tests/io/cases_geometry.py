"""Cases of where the slices lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from refinefuse_med.volume import affine_lps
from tests.io.case import Case, in_place, series, tagged
from tests.io.corpus import (
    AXIAL,
    OBLIQUE,
    SAGITTAL,
    Scan,
    make_slice,
    stored,
    write_scan,
)

CORONAL = np.array([1.0, 0, 0, 0, 0, -1])
PRONE = np.array([-1.0, 0, 0, 0, -1, 0])
DECUBITUS = np.array([0.0, 1, 0, -1, 0, 0])


def placed(offsets: Any, **scan: Any):
    """A series whose slices are moved by millimetres (one LPS vector a slice), values and all."""

    def change(ds, k):
        position = scanner.position(k) + np.asarray(offsets[k], float)
        ds.ImagePositionPatient = [round(float(v), 6) for v in position]
        ds.PixelData = stored(scanner.plane(position)).tobytes()

    scanner = Scan(slices=len(offsets), **{"orientation": AXIAL, **scan})

    def make(folder: Path) -> None:
        write_scan(folder, scanner, change)

    return make


def without(*gone: int, slices: int = 8):
    def make(folder: Path) -> None:
        paths = write_scan(folder, Scan(orientation=AXIAL, slices=slices))
        for k in gone:
            paths[k].unlink()

    return make


def _copied(folder: Path) -> None:
    paths = write_scan(folder, Scan())
    (folder / "again").mkdir()
    for path in paths:
        shutil.copy(path, folder / "again" / path.name)


def _twice(folder: Path) -> None:
    scan = Scan()
    write_scan(folder, scan)
    make_slice(scan, 2).save_as(folder / "again.dcm")


def _one_uid(ds, k):
    if k < 2:
        ds.SOPInstanceUID = "1.2.3.4"


def _other_at_one_place(folder: Path) -> None:
    scan = Scan()
    write_scan(folder, scan)
    other = make_slice(scan, 2)
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(folder / "other.dcm")


def _with(other: Scan, count: int):
    """A series with slices of another one under its UID."""

    def make(folder: Path) -> None:
        scan = Scan(orientation=AXIAL)
        write_scan(folder, scan)
        other.series_uid, other.frame_of_reference_uid = (
            scan.series_uid,
            scan.frame_of_reference_uid,
        )
        for k in range(count):
            make_slice(other, k).save_as(folder / f"other{k}.dcm")

    return make


def _alternate(name: str):
    return series(lambda ds, k: setattr(ds, name, "12"[k % 2]))


def shift(z: float = 0, y: float = 0) -> tuple[float, float, float]:
    return (0.0, y, z)


EVEN = [shift()] * 5
VARIABLE = [shift(4.0 * extra) for extra in (0, 0, 0, 0, 1, 2, 3, 4)]
TILT = np.tan(np.radians(15))
# Values that are linear in the plane survive its interpolation; those of the corpus nearly are.
BENT = 0.08


def by_table(degrees: float, table: list[float]):
    """A tilted gantry as scanners store it: the axes tilted, the positions along the table."""
    angle = np.radians(degrees)
    scan = {"orientation": np.array([1, 0, 0, 0, np.cos(angle), -np.sin(angle)]),
            "modality": "CT", "origin": (0, 0, 0), "rows": 24}  # fmt: skip
    moves = [np.array([0, 0, z]) - Scan(**scan).position(k) for k, z in enumerate(table)]
    return placed(moves, **scan)


def survey(scan: bool = False):
    """Three planes in one series that nobody calls a localizer; an axial scan beside it."""

    def make(folder: Path) -> None:
        one = Scan()
        for number, axes in enumerate((AXIAL, SAGITTAL, CORONAL)):
            plane = Scan(orientation=axes, slices=3, series_uid=one.series_uid)
            plane.frame_of_reference_uid = one.frame_of_reference_uid
            write_scan(folder / f"{number}", plane)
        if scan:
            write_scan(folder / "scan", Scan(orientation=PRONE, slices=3))

    return make


def is_prone(volume) -> None:
    in_place(volume)
    assert affine_lps(volume)[0, 0] < 0


CASES = [
    Case("axial slices", series(orientation=AXIAL)),
    Case("sagittal slices", series(orientation=SAGITTAL)),
    Case("coronal slices", series(orientation=CORONAL)),
    Case("doubly oblique slices", series(orientation=OBLIQUE)),
    Case("patient prone", series(orientation=PRONE)),
    Case("patient on the side (decubitus)", series(orientation=DECUBITUS)),
    Case("feet first", series(orientation=np.array([-1.0, 0, 0, 0, 1, 0]))),
    Case("feet first, on the side", series(orientation=np.array([0.0, 1, 0, 1, 0, 0]))),
    Case(
        "instance numbers in another order than the slices",
        series(lambda ds, k: setattr(ds, "InstanceNumber", [3, 1, 5, 2, 4][k])),
    ),
    Case("slice distances that jitter by 0.02 mm", placed([shift(), shift(0.02), *EVEN[:3]]),
         check=lambda v: in_place(v, atol=0.2)),
    Case("slice distances that jitter by 5 %", placed([shift(), shift(0.2), *EVEN[:3]]),
         "their mean was taken", check=lambda v: in_place(v, atol=1.1)),
    Case("one slice out of step", placed([shift(), shift(1.0), *EVEN[:3]]), "were interpolated"),
    Case("wide slices above narrow ones", placed(VARIABLE), "were interpolated"),
    Case("uneven slices more than 10 mm apart",
         placed([shift(), shift(), shift(3), shift(), shift()], spacing=(1, 1, 12)),
         "uneven slice distances", refused=True),
    Case("gantry tilt", placed([shift(0, 4 * k * TILT) for k in range(6)], modality="CT"),
         "tilted by 15.0 degrees", check=lambda v: in_place(v, BENT, outside=-1000)),
    Case("gantry tilt with a variable distance",
         placed([shift(o[2], (4 * k + o[2]) * TILT) for k, o in enumerate(VARIABLE)],
                modality="CT", origin=(0, 0, 0), rows=24),
         "tilted by 15.0 degrees", check=lambda v: in_place(v, BENT, outside=0)),
    Case("gantry tilt, positions along the table", by_table(15, [4.0 * k for k in range(6)]),
         "tilted by 15.0 degrees", check=lambda v: in_place(v, BENT, outside=0)),
    Case("gantry tilt, fine slices below coarse ones (skull base)",
         by_table(-18, [0, 2.5, 5, 7.5, 10, 17.5, 25, 32.5]),
         "tilted by 18.0 degrees", check=lambda v: in_place(v, BENT, outside=0)),
    Case("gantry tilt with a hole", by_table(15, [0, 3, 6, 9, 15, 18, 21, 24]),
         "a gap of 5.80 mm", refused=True),
    Case("a survey of three planes under one UID", survey(), "perhaps a survey"),
    Case("a scan beside a survey of as many slices", survey(scan=True),
         "chosen of 4 readable series", check=is_prone),
    Case("slices sheared by 60 degrees", placed([shift(0, 7 * k) for k in range(5)]),
         "sheared by 60 degrees", refused=True),
    Case("slices that lie on no line", placed([shift(), shift(0, 3), *EVEN[:3]]),
         "one line", refused=True),
    Case("a missing slice", without(3), "a gap of 8.00 mm between", refused=True),
    Case("two gaps", without(2, 5), "and 1 more gaps", refused=True),
    Case("missing slices, with --allow-gaps", without(2, 5),
         "2 missing slices were interpolated", options={"allow_gaps": True}),
    Case("every file twice", _copied, "5 duplicate files were left out"),
    Case("a slice stored twice under two UIDs", _twice, "stored twice"),
    Case("two different slices under one UID", series(_one_uid),
         "has the SOPInstanceUID of another file", refused=True),
    Case("another image at the place of a slice", _other_at_one_place,
         "nothing tells which belong together", refused=True),
    Case("no position", tagged(ImagePositionPatient=None), "no ImagePositionPatient",
         refused=True),
    Case("no orientation", tagged(ImageOrientationPatient=None), "no ImageOrientationPatient",
         refused=True),
    Case("no voxel size", tagged(PixelSpacing=None), "no PixelSpacing", refused=True),
    Case("a voxel size of zero", tagged(PixelSpacing=[0, 0]), "0 x 0 mm is not possible",
         refused=True),
    Case("a negative voxel size", tagged(PixelSpacing=[-1, 1]), "is not possible", refused=True),
    Case("image axes not at right angles",
         tagged(ImageOrientationPatient=[1, 0, 0, 0.5, 0.8660254, 0]), "right angles",
         refused=True),
    Case("an orientation of zeros", tagged(ImageOrientationPatient=[0] * 6), "unit vectors",
         refused=True),
    Case("a position that is not possible", tagged(ImagePositionPatient=[1e308, 1e308, 1e308]),
         "ImagePositionPatient is not possible", refused=True),
    Case("slices of another orientation under one UID",
         _with(Scan(orientation=SAGITTAL), 3), "chosen of 2 readable series"),
    Case("slices of another size under one UID",
         _with(Scan(orientation=AXIAL, columns=4, rows=4), 3), "chosen of 2 readable series"),
    Case("a localizer under the UID of the scan",
         _with(Scan(orientation=SAGITTAL, tags={"ImageType": ["ORIGINAL", "P", "LOCALIZER"]}), 1)),
    Case("two patients in one series", _alternate("PatientID"), "more than one patient",
         refused=True),
    Case("two frames of reference in one series", _alternate("FrameOfReferenceUID"),
         "more than one frame of reference", refused=True),
    Case("a slice without thickness, alone",
         series(lambda ds, k: delattr(ds, "SliceThickness"), slices=1),
         "a single slice without a thickness", refused=True),
    Case("a single slice", series(slices=1), "a single slice"),
]  # fmt: skip
