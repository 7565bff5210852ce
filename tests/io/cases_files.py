"""Cases of folders, archives and NIfTI files."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.fileset import FileSet

from refinefuse_med.grid import LPS_FROM_RAS
from tests.io.case import Case, in_place
from tests.io.corpus import AXIAL, Scan, write_scan

LONG = "/".join(["n" * 200] * 8)


def inside(name: str):
    """A series in a folder of that name."""

    def make(folder: Path) -> None:
        write_scan(folder / name, Scan())

    return make


def _loop(folder: Path) -> None:
    write_scan(folder / "scan", Scan())
    (folder / "scan" / "loop").symlink_to(folder, target_is_directory=True)


def _dangling(folder: Path) -> None:
    write_scan(folder, Scan())
    (folder / "gone.dcm").symlink_to(folder / "nowhere")


def _linked(folder: Path) -> None:
    """Files that are links to where the scan really is, as data managers leave them."""
    for path in write_scan(folder / "store", Scan()):
        real = folder.parent / "elsewhere"
        real.mkdir(exist_ok=True)
        shutil.move(path, real / path.name)
        path.symlink_to(real / path.name)


def _side_files(folder: Path) -> None:
    for path in write_scan(folder, Scan()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7" + bytes(100))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))


def _dicomdir(folder: Path) -> Path:
    files = FileSet()
    for path in write_scan(folder / "in", Scan()):
        from pydicom import dcmread

        ds = dcmread(path)
        for name in ("StudyDate", "StudyTime", "StudyID", "SeriesNumber", "AccessionNumber"):
            setattr(ds, name, {"StudyDate": "20200101", "StudyTime": "10"}.get(name, "1"))
        files.add(ds)
    files.write(folder / "cd")
    shutil.rmtree(folder / "in")
    return folder / "cd" / "DICOMDIR"


def packed(fill=None, compression=zipfile.ZIP_DEFLATED):
    """A zip of a series, or of what `fill` puts into it."""

    def make(folder: Path) -> Path:
        target = folder / "scan.zip"
        write_scan(folder / "study", Scan())
        with zipfile.ZipFile(target, "w", compression) as archive:
            if fill is not None:
                fill(archive)
            else:
                for path in (folder / "study").iterdir():
                    archive.write(path, f"a/{path.name}")
        shutil.rmtree(folder / "study")
        return target

    return make


def _cut(folder: Path) -> Path:
    path = packed()(folder)
    path.write_bytes(path.read_bytes()[:-300])
    return path


def _bomb(archive: zipfile.ZipFile) -> None:
    """Zeros that unpack to 300 MB."""
    with archive.open("zeros.dcm", "w", force_zip64=True) as file:
        for _ in range(300):
            file.write(bytes(2**20))


def nifti(change=None, name: str = "t1.nii.gz", **scan):
    """The corpus as NIfTI, whose affine is RAS."""

    def make(folder: Path) -> Path:
        made = Scan(**scan)
        image = nib.Nifti1Image(made.truth().astype(np.float32), LPS_FROM_RAS @ made.affine_lps)
        image.set_qform(image.affine, 1)
        path = folder / name
        image = change(image) if change else image
        nib.save(image, path)
        return path

    return make


def _typed(dtype):
    def change(image):
        data = np.rint(image.get_fdata()).astype(dtype)
        return nib.Nifti1Image(data, image.affine, dtype=dtype)

    return change


def _scaled(image):
    data = np.rint((image.get_fdata() + 300) / 0.05).astype(np.int32)
    scaled = nib.Nifti1Image(data, image.affine)
    scaled.header.set_slope_inter(0.05, -300)
    return scaled


def _reoriented(image):
    return image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))


def _two_frames(image):
    data = image.get_fdata(dtype=np.float32)
    return nib.Nifti1Image(np.stack([data, data], -1), image.affine)


def _sheared(image):
    """The corpus sampled on an affine whose slices are shifted against each other."""
    from tests.io.corpus import value_at

    affine = image.affine.copy()
    affine[:3, 2] += 0.3 * affine[:3, 1]
    index = np.stack(np.meshgrid(*map(np.arange, (24, 24, 6)), indexing="ij"), -1)
    lps = (LPS_FROM_RAS @ affine)[:3]
    values = value_at(index @ lps[:, :3].T + lps[:, 3])
    return nib.Nifti1Image(values.astype(np.float32), affine)


def _forms(image):
    other = image.affine.copy()
    other[:3, 3] += 12
    image.set_qform(other, 1)
    return image


def _masked(image):
    data = image.get_fdata(dtype=np.float32)
    data[0] = np.nan
    return nib.Nifti1Image(data, image.affine)


def _metres(image):
    affine = image.affine.copy()
    affine[:3] /= 1000
    image = nib.Nifti1Image(image.get_fdata(dtype=np.float32), affine)
    image.header.set_xyzt_units("meter")
    return image


def _rgb(image):
    data = np.zeros(image.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    data["G"] = 200
    return nib.Nifti1Image(data, image.affine)


def _complex(image):
    return nib.Nifti1Image(image.get_fdata().astype(np.complex64), image.affine)


def renamed(make, name: str):
    def again(folder: Path) -> Path:
        return make(folder).rename(folder / name)

    return again


def cut(make, count: int):
    def shorter(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(path.read_bytes()[:count])
        return path

    return shorter


def _singular(folder: Path) -> Path:
    path = nifti(name="t1.nii")(folder)
    raw = bytearray(path.read_bytes())
    raw[252:254] = bytes(2)  # qform_code
    raw[312:328] = bytes(16)  # srow_z
    path.write_bytes(raw)
    return path


def _flat(image):
    return nib.Nifti1Image(image.get_fdata(dtype=np.float32)[..., 0], image.affine)


def _text(folder: Path) -> Path:
    (folder / "t1.nii").write_text("this is no scan\n" * 50)
    return folder / "t1.nii"


def _two_files(folder: Path) -> None:
    nifti(name="t1.nii")(folder)
    nifti(name="t2.nii")(folder)


def is_green(volume) -> None:
    assert volume.shape[0] == 3
    assert float(volume[1].min()) == 200


NEAR = {"check": lambda v: in_place(v, atol=1e-3)}
WHOLE = {"check": lambda v: in_place(v, atol=0.51)}

CASES = [
    Case("a folder name in Unicode", inside("Müller 山田 ü")),
    Case("a very long path", inside(LONG)),
    Case("a link that leads back to its own folder", _loop),
    Case("a dangling link", _dangling),
    Case("slices that are links to files elsewhere", _linked),
    Case("side files of macOS and Windows", _side_files),
    Case("a DICOMDIR", _dicomdir),
    Case("a zip", packed()),
    Case("a zip, stored without compression", packed(compression=zipfile.ZIP_STORED)),
    Case("a zip whose entry points outside", packed(lambda z: z.writestr("../evil.dcm", b"x")),
         "points outside its folder", refused=True),
    Case("a zip that grows without end", packed(_bomb), "grows more than 200 times",
         refused=True),
    Case("a damaged zip", _cut, "the zip file is damaged", refused=True),
    Case("an empty zip", packed(lambda z: None), "the folder is empty", refused=True),
    Case("an empty folder", lambda folder: None, "the folder is empty", refused=True),
    Case("a folder of texts", lambda folder: (folder / "a.txt").write_text("a") and None,
         "no DICOM image and no NIfTI file", refused=True),
    Case("nothing there", lambda folder: folder / "nothing", "no such file or folder",
         refused=True),
    Case("NIfTI", nifti(), **NEAR),
    Case("NIfTI, axial", nifti(orientation=AXIAL), **NEAR),
    Case("NIfTI, axes in another order and turned round", nifti(_reoriented), **NEAR),
    Case("NIfTI, int16", nifti(_typed(np.int16)), **WHOLE),
    Case("NIfTI, int64", nifti(_typed(np.int64)), **WHOLE),
    Case("NIfTI, double", nifti(_typed(np.float64)), **WHOLE),
    Case("NIfTI with scl_slope and scl_inter", nifti(_scaled)),
    Case("NIfTI in metres", nifti(_metres), "converted to mm", **NEAR),
    Case("NIfTI, packed by gzip but named .nii", renamed(nifti(), "t2.nii"),
         "compressed, against its name", **NEAR),
    Case("NIfTI whose qform and sform differ", nifti(_forms), "sform used", **NEAR),
    Case("NIfTI with a sheared affine", nifti(_sheared), "sheared by",
         check=lambda v: in_place(v, atol=0.2, outside=1e-3)),
    Case("NIfTI, one frame of several", nifti(_two_frames), "frame 2 of 2",
         options={"series_uid": "#2"}, **NEAR),
    Case("NIfTI of several frames, none chosen", nifti(_two_frames), "2 frames in one file",
         refused=True),
    Case("NIfTI in colour (RGB24)", nifti(_rgb), check=is_green),
    Case("NIfTI with NaN around the scan", nifti(_masked), "without a value (NaN)",
         check=lambda v: None),
    Case("NIfTI of complex values", nifti(_complex), "complex values", refused=True),
    Case("NIfTI of one slice", nifti(_flat), "not a volume", refused=True),
    Case("NIfTI, truncated", cut(nifti(name="t1.nii"), 700), "truncated or damaged",
         refused=True),
    Case("NIfTI, truncated within its header", cut(nifti(name="t1.nii"), 100),
         "not a readable NIfTI file", refused=True),
    Case("NIfTI with an affine without inverse", _singular, "no inverse", refused=True),
    Case("a text named .nii", _text, "no NIfTI header in it", refused=True),
    Case("two NIfTI files in a folder", _two_files, "2 NIfTI files", refused=True),
]  # fmt: skip

if os.name == "nt":  # links and long paths want rights there
    CASES = CASES[5:]
