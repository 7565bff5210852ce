"""Make the sample scans: one head, four scanners, four poses, and the exact truth.

    python sample_data/make_sample_data.py

writes ``mr_t1.nii.gz``, ``ct.nii.gz``, ``pet.nii.gz``, ``spect.nii.gz`` and ``truth.json`` into
``sample_data/volumes``. The anatomy comes from `head`; the template from the nilearn wheel.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from head import LESION_RADIUS, Head, build_head
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from solids import Array, Point

from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.sample.volumes import SCAN_FILES

Matrix = NDArray[np.float64]

CENTER = np.array([0.0, -12.0, 8.0])
"""The head turns about this point of the template, RAS mm."""


@dataclass(frozen=True)
class Scanner:
    """One scan: what it sees, where, how sharply, and what it adds.

    Attributes
    ----------
    name : str
        As in `refinefuse_med.sample.sample_volume`.
    tissue_map : str
        A field of `head.Tissue`.
    angles, shift : pose of the head in this scanner, degrees about x, y, z, and mm (RAS).
    tilt : degrees about x, y, z by which the voxel grid is turned against the scanner.
    axes : the nearest anatomical direction of the I, J, K axes, such as ``LPS``.
    field_center : middle of the grid in the head, template RAS mm.
    fwhm_mm : full width at half maximum of the point spread.
    quantum : value of one stored step, in `units`.
    detector : called as ``detector(signal, spacing, rng)``; gives the measured values.
    """

    name: str
    modality: str
    units: str
    tissue_map: str
    angles: Point
    shift: Point
    tilt: Point
    axes: str
    spacing: Point
    shape: tuple[int, int, int]
    field_center: Point
    fwhm_mm: float
    quantum: float
    detector: Callable[[Array, Point, np.random.Generator], Array]

    @property
    def pose_ras(self) -> Matrix:
        """Rigid map of template points to points of this scanner, RAS mm."""
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("xyz", self.angles, degrees=True).as_matrix()
        pose[:3, 3] = CENTER + self.shift - pose[:3, :3] @ CENTER
        return pose

    @property
    def affine_ras(self) -> Matrix:
        """Voxel index to RAS mm of this scanner."""
        letters = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
        directions = np.zeros((3, 3))
        for column, letter in enumerate(self.axes):
            row, sign = letters[letter]
            directions[row, column] = sign
        affine = np.eye(4)
        tilt = Rotation.from_euler("xyz", self.tilt, degrees=True).as_matrix()
        affine[:3, :3] = tilt @ directions * np.asarray(self.spacing)
        middle = self.pose_ras[:3, :3] @ self.field_center + self.pose_ras[:3, 3]
        affine[:3, 3] = middle - affine[:3, :3] @ ((np.asarray(self.shape) - 1) / 2)
        return affine


def receive_mr(signal: Array, spacing: Point, rng: np.random.Generator) -> Array:
    """Coil shading and Rician noise."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in signal.shape], indexing="ij")
    shading = 1 + 0.05 * x - 0.04 * y + 0.05 * z + 0.06 * (x * x + y * y)
    real = 3 * signal * shading + 10 * rng.standard_normal(signal.shape)
    return np.hypot(real, 10 * rng.standard_normal(signal.shape)).astype(np.float32)


def receive_ct(signal: Array, spacing: Point, rng: np.random.Generator) -> Array:
    """Noise as a smooth kernel leaves it, more of it behind more bone and tissue."""
    noise = ndimage.gaussian_filter(rng.standard_normal(signal.shape), (0.7, 0.7, 0))
    noise *= np.clip(2 + 3 * (signal + 1000) / 1000, 2, 6) / noise.std()
    return np.clip(signal + noise, -1000, 3000)


def receive_pet(signal: Array, spacing: Point, rng: np.random.Generator) -> Array:
    """Noise that grows with the square root of uptake, with the grain of a reconstruction."""
    grain = rng.standard_normal(signal.shape)
    grain = ndimage.gaussian_filter(grain, [3.2 / 2.355 / s for s in spacing])
    noise = np.sqrt(np.clip(signal, 0.02, None)) * grain * (0.17 / grain.std())
    return np.clip(signal + noise, 0, None)


def receive_spect(signal: Array, spacing: Point, rng: np.random.Generator) -> Array:
    """Few counts, smoothed by the reconstruction."""
    grain = rng.standard_normal(signal.shape)
    grain = ndimage.gaussian_filter(grain, [6.0 / 2.355 / s for s in spacing])
    counts = 2.2 * signal
    return np.clip(counts + np.sqrt(np.clip(counts, 1, None)) * grain / grain.std() * 0.6, 0, None)


SCANNERS = (
    Scanner("mr", "MR", "a.u.", "t1", (4, -3, 5), (2, -6, 3), (-5, 2, -3), "LPS",
            (1.3, 1.3, 1.8), (148, 196, 104), (0, -7, 9), 1.2, 8.0, receive_mr),
    Scanner("ct", "CT", "HU", "hu", (-9, 5, -7), (-8, 11, -6), (3, -2, 4), "LAS",
            (1.4, 1.4, 2.6), (144, 188, 66), (0, -9, 21), 1.5, 2.0, receive_ct),
    Scanner("pet", "PT", "SUVbw", "fdg", (6, -8, 12), (9, -5, 14), (-4, 3, 2), "RAS",
            (2.2, 2.2, 3.1), (96, 116, 58), (0, -8, 14), 4.2, 0.02, receive_pet),
    Scanner("spect", "NM", "counts", "perfusion", (11, 6, -10), (-13, 8, -9), (2, 4, -5), "LPI",
            (4.1, 4.1, 4.4), (56, 64, 44), (0, -8, 10), 8.4, 1.0, receive_spect),
)  # fmt: skip


def scan(head: Head, scanner: Scanner, rng: np.random.Generator) -> Array:
    """Measured values of `head` on the scanner's grid, shape `scanner.shape`, in its units."""
    source = head.maps[scanner.tissue_map]
    if scanner.modality == "CT":
        source = with_head_holder(source, head.affine_ras)
    blurred = ndimage.gaussian_filter(source, scanner.fwhm_mm / 2.355)
    index = np.linalg.inv(head.affine_ras) @ np.linalg.inv(scanner.pose_ras) @ scanner.affine_ras
    signal = ndimage.affine_transform(
        blurred, index, output_shape=scanner.shape, order=1, cval=float(source.min())
    )
    return scanner.detector(signal, scanner.spacing, rng)


def with_head_holder(hu: Array, affine_ras: Matrix) -> Array:
    """Lay the head in the carbon shell of a CT table."""
    x, y = (np.arange(hu.shape[axis]) + affine_ras[axis, 3] for axis in (0, 1))
    radius = np.hypot(x[:, None], y[None, :] + 36)
    shell = np.clip(1.7 - np.abs(radius - 98), 0, 1) * (y[None, :] < -62)
    return np.maximum(hu, (-1000 + 820 * shell)[..., None]).astype(np.float32)


def write_volume(values: Array, scanner: Scanner, folder: Path) -> None:
    """Write int16 with the scale in the header, reproducibly."""
    stored = np.round(values / scanner.quantum).astype(np.int16)
    image = nib.Nifti1Image(stored, scanner.affine_ras)
    image.set_sform(scanner.affine_ras, code="scanner")
    image.set_qform(scanner.affine_ras, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(scanner.quantum, 0)
    image.header["descrip"] = (
        f"RefineFuse-Med sample modality={scanner.modality} units={scanner.units}"
    ).encode()
    nib.save(image, folder / SCAN_FILES[scanner.name])


def truth_of(head: Head) -> dict[str, object]:
    """The record in ``truth.json``: LPS mm throughout."""
    poses = {s.name: LPS_FROM_RAS @ s.pose_ras @ LPS_FROM_RAS for s in SCANNERS}
    fixed = SCANNERS[0].name
    x, y, z = head.landmarks["lesion"]
    points = {
        **head.landmarks,
        "lesion_mirrored": (-x, y, z),
        "left_frontal": (-30.0, 50.0, 10.0),
        "right_frontal": (30.0, 50.0, 10.0),
        "left_occipital": (-25.0, -85.0, 5.0),
        "right_temporal": (50.0, -20.0, -20.0),
        "vertex": (0.0, -30.0, 70.0),
    }
    return {
        "schema": 1,
        "convention": "LPS mm; fixed_to_moving_lps maps a point of the MR to the same point of "
        "the head in the moving scan, as an ITK transform that resamples moving onto MR does",
        "fixed": fixed,
        "fixed_to_moving_lps": {
            name: (pose @ np.linalg.inv(poses[fixed])).tolist()
            for name, pose in poses.items()
            if name != fixed
        },
        "lesion": {"side": "left", "radius_mm": LESION_RADIUS},
        "landmarks_lps": {
            name: {
                label: np.round((pose @ LPS_FROM_RAS @ [*point, 1])[:3], 4).tolist()
                for label, point in points.items()
            }
            for name, pose in poses.items()
        },
    }


def main() -> None:
    """Make everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "volumes")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    import nilearn

    head = build_head(Path(nilearn.__file__).parent / "datasets/data", np.random.default_rng(2009))
    for number, scanner in enumerate(SCANNERS):
        write_volume(scan(head, scanner, np.random.default_rng(number)), scanner, out)
        size = (out / SCAN_FILES[scanner.name]).stat().st_size
        print(f"{SCAN_FILES[scanner.name]}: {size / 1e6:.2f} MB")
    (out / "truth.json").write_text(json.dumps(truth_of(head), indent=1) + "\n")


if __name__ == "__main__":
    main()
