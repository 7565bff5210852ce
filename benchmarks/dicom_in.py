"""DICOM in: finding series among many files, and reading one, beside SimpleITK, in one run.

    python benchmarks/dicom_in.py [--files 20000] [--slices 300] [--size 512] [--rounds 5]

Makes a classic CT series and an archive of many small series in a temporary folder. Prints the
seconds that finding takes, the seconds of reading by RefineFuse-Med and by SimpleITK's series
reader (in turns, medians and their ratio; both read in the files' own order, so that the values can
be compared), and the peak memory of reading as a multiple of the volume's size.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from refinefuse_med.io import inspect_path, load_volume

PEAK = """
import sys
from refinefuse_med.io import load_volume

def kilobytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

load_volume(sys.argv[1])
open("/proc/self/clear_refs", "w").write("5")  # the peak starts from here
before = kilobytes("VmRSS")
volume = load_volume(sys.argv[2])
print((kilobytes("VmHWM") - before) * 1024 / (volume.numel() * 4))
"""
"""Resident memory that the second volume takes, a small one having been read before it (Linux)."""


def write_series(folder: Path, size: int, slices: int, uid: str | None = None) -> Path:
    """A CT of random HU, with the private bulk that real headers have."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    series, frame = uid or generate_uid(), generate_uid()
    for k in range(slices):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.Modality, ds.PatientID, ds.PatientName = "CT", "A", "A"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2", series, frame
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient = [-250, -250, float(k)]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness, ds.InstanceNumber = [0.9, 0.9], 1.0, k + 1
        ds.Rows = ds.Columns = size
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        block = ds.private_block(0x0009, "BENCHMARK", create=True)
        for number in range(40):
            block.add_new(number, "LO", f"private {number}")
        ds.PixelData = random.integers(0, 3000, (size, size), np.int16).tobytes()
        ds.save_as(folder / f"{k:05d}.dcm", enforce_file_format=True)
    return folder


def by_simpleitk(folder: Path) -> np.ndarray:
    """As its users read a series: names from the folder, one call."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def seconds_of(call, *arguments) -> tuple[float, object]:
    """Wall time of one call, and what it gave."""
    start = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - start, result


@click.command()
@click.option("--files", default=20_000, show_default=True, help="Small files to find series in.")
@click.option("--slices", default=300, show_default=True, help="Of the CT that is read.")
@click.option("--size", default=512, show_default=True, help="Its rows and columns.")
@click.option("--rounds", default=5, show_default=True, help="Of reading, in turns.")
def main(files: int, slices: int, size: int, rounds: int) -> None:
    """Measure, and print one line for each figure."""
    with tempfile.TemporaryDirectory(prefix="dicom-in-") as name:
        root = Path(name)
        ct = write_series(root / "ct", size, slices)
        mine: list[float] = []
        theirs: list[float] = []
        for number in range(rounds + 1):
            own, volume = seconds_of(load_volume, ct)
            other, array = seconds_of(by_simpleitk, ct)
            if number == 0:  # does not count: it fills the cache of the disk
                np.testing.assert_array_equal(volume.numpy()[0], array.transpose(2, 1, 0))
                continue
            mine.append(own)
            theirs.append(other)
        own, other = statistics.median(mine), statistics.median(theirs)
        print(f"reading {size} x {size} x {slices}: {own:.2f} s, SimpleITK {other:.2f} s, "
              f"ratio {own / other:.2f}", flush=True)  # fmt: skip
        small = write_series(root / "small", 16, 4)
        peak = subprocess.run(
            [sys.executable, "-c", PEAK, str(small), str(ct)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        print(f"peak memory: {float(peak.stdout):.2f} times the volume", flush=True)
        archive = root / "archive"
        for number in range(max(1, files // 100)):
            write_series(archive / f"s{number:04d}", 8, 100)
        took, found = seconds_of(inspect_path, archive)
        count = sum(entry.files for entry in found.series)
        print(f"finding {len(found.series)} series in {count} files: {took:.1f} s")


if __name__ == "__main__":
    main()
