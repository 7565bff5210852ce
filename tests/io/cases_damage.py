"""Cases of damaged files that lie beside a scan, and of what they cost it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.io.case import Case
from tests.io.corpus import AXIAL, Scan, write_scan

SERIES, PATIENT = b"\x20\x00\x32\x00", b"\x10\x00\x10\x00"


def beside(names: str = "im{:03d}.dcm", content: bytes | None = None, cut: bytes = b"", **tags):
    """An MR, and slices of a CT named like its own and mixed with them, one of them damaged."""

    def make(folder: Path) -> None:
        mr = write_scan(folder / "mr", Scan(orientation=AXIAL, tags=tags))
        ct = write_scan(folder / "ct", Scan("CT", orientation=AXIAL, slices=4))
        held = ct[2].read_bytes()
        ct[2].write_bytes(held[: held.index(cut)] if content is None else content)
        for number, path in enumerate(sorted(mr + ct, key=lambda path: path.name)):
            path.rename(folder / names.format(number))

    return make


def _numbered(folder: Path) -> None:
    first = 0
    for scan in (Scan(orientation=AXIAL), Scan("CT", orientation=AXIAL)):
        for number, path in enumerate(sorted(write_scan(folder / scan.modality, scan))):
            path.rename(folder / f"IM{first + number}")
        first += scan.slices
    (folder / "IM8").write_bytes(b"")


def _copied(folder: Path) -> None:
    paths = write_scan(folder, Scan(orientation=AXIAL))
    copy = shutil.copy(paths[-1], folder / "copy.dcm")
    copy.write_bytes(copy.read_bytes()[:-20])


def _unfinished(folder: Path) -> None:
    path = write_scan(folder, Scan(orientation=AXIAL))[-1]
    path.with_name(path.name + ".part").write_bytes(path.read_bytes()[:200])
    path.unlink()


def _not_fetched(folder: Path) -> None:
    path = max(write_scan(folder, Scan(orientation=AXIAL)))
    path.unlink()
    path.symlink_to(folder / "nowhere")


CASES = [
    Case("a half-written slice whose header tells another series", beside(cut=SERIES),
         options={"modality": "MR"}),
    Case("a half-written slice whose header tells another modality", beside(cut=PATIENT),
         options={"modality": "MR"}),
    Case("an empty file beside a series that counts itself whole",
         beside(content=b"", ImagesInAcquisition=5), "the series is whole without",
         options={"modality": "MR"}),
    Case("an empty file beside a series that counts more images than there are",
         beside(content=b"", ImagesInAcquisition=6), "a damaged file lies among the slices",
         refused=True, options={"modality": "MR"}),
    Case("an empty file named like the slices of two series", beside(content=b""),
         "a damaged file lies among the slices", refused=True, options={"modality": "MR"}),
    Case("zeros in place of a slice, in a file without a suffix",
         beside(names="IM{}", content=bytes(999)), "a damaged file lies among the slices",
         refused=True, options={"modality": "MR"}),
    Case("an empty file whose number is one of another series", _numbered,
         "of another series, by name", options={"modality": "MR"}),
    Case("a half-written copy of a slice", _copied, "a damaged copy"),
    Case("a link to a slice that was not fetched", _not_fetched,
         "a damaged file lies among the slices", refused=True),
    Case("an end slice that is not finished (.part)", _unfinished,
         "a damaged file lies among the slices", refused=True),
]  # fmt: skip
