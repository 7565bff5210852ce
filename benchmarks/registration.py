"""Registration: target registration error, verdicts and time, over random poses of the sample.

    python benchmarks/registration.py [--poses 8]

Brings the sample's CT, PET and SPECT onto its MR: as they lie, and with their headers moved
further by up to 45 degrees and 60 mm about each axis. The error is the mean distance over a
grid of points in the brain, against the truth that the sample was made with.
"""

from __future__ import annotations

import resource
import time

import click
import numpy as np
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.registration import register
from refinefuse_med.sample import sample_truth, sample_volume
from refinefuse_med.volume import affine_ras, grid_of, make_volume


def moved(volume: MetaTensor, matrix_lps: np.ndarray) -> MetaTensor:
    """The volume with its header moved by a rigid matrix of LPS points."""
    affine = LPS_FROM_RAS @ matrix_lps @ LPS_FROM_RAS @ affine_ras(volume)
    return make_volume(volume.as_tensor(), affine)


def random_pose(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """A rotation about `centre` and a shift."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-45, 45, 3), degrees=True).as_matrix()
    pose[:3, 3] = centre - pose[:3, :3] @ centre + rng.uniform(-60, 60, 3)
    return pose


@click.command()
@click.option("--poses", default=8, show_default=True, help="For each scan, the first as it lies.")
def main(poses: int) -> None:
    """Print one line a registration, and a summary for each scan."""
    fixed = sample_volume("mr")
    grid = grid_of(fixed)
    centre = (LPS_FROM_RAS @ [*grid.center_ras, 1])[:3]
    # The middle half of the fixed grid along each axis lies in the brain.
    box = np.stack(np.meshgrid(*[np.linspace(-0.25, 0.25, 7)] * 3)).reshape(3, -1)
    half = grid.affine_lps[:3, :3] @ (box * np.array(grid.shape)[:, None])
    points = half + centre[:, None]
    for name, matrix in sample_truth()["fixed_to_moving_lps"].items():
        moving, truth = sample_volume(name), np.array(matrix)
        rng = np.random.default_rng(0)
        errors, cpu = [], []
        for number in range(poses):
            header = random_pose(rng, centre) if number else np.eye(4)
            used = time.process_time()
            result = register(fixed, moved(moving, header), RegistrationConfig(method="rigid"))
            cpu.append(time.process_time() - used)
            apart = (result.matrix_fixed_to_moving_lps - header @ truth)[:3]
            error = np.linalg.norm(apart[:, :3] @ points + apart[:, 3:], axis=0).mean()
            errors.append(error)
            print(
                f"{name} pose {number}: {error:.2f} mm, {result.verdict},"
                f" spread {result.quality['spread_mm']:.2f} mm,"
                f" MI {result.quality['mutual_information']:.2f},"
                f" {result.seconds:.1f} s ({cpu[-1]:.1f} CPU s)",
                flush=True,
            )
        print(
            f"{name}: median {np.median(errors):.2f} mm, worst {max(errors):.2f} mm,"
            f" {np.median(cpu):.1f} CPU s"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
