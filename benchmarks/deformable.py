"""Deformable registration of the sample's heads, bent by smooth warps that are known.

    python benchmarks/deformable.py [--warp 0 --warp 5 --warp 10] [--moving ct --moving pet]

The MR is warped; CT, PET, SPECT and the MR itself are registered to it, rigidly and then
deformably. Printed is the mean distance from the truth over the whole head, with the rigid result
alone, and with the deformation, whether or not it was taken.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from tables import print_table

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.io import load_volume
from refinefuse_med.progress import SILENT
from refinefuse_med.registration import Deformation, register, resample_to
from refinefuse_med.registration.deformable import DRIFT_MM, SAME_DRIFT_MM, deform
from refinefuse_med.registration.deformation import lattice_over
from refinefuse_med.registration.pose import mapped
from refinefuse_med.registration.sampling import Scan
from refinefuse_med.volume import grid_of

VOLUMES = Path(__file__).resolve().parents[1] / "sample_data" / "volumes"
WAVE_MM = 90.0
"""Distance of the control points of the warp that is to be found."""


@click.command()
@click.option("--warp", "warps", multiple=True, type=float, default=(0.0, 5.0, 10.0))
@click.option("--moving", "names", multiple=True, default=("ct", "pet", "spect", "mr_t1"))
@click.option("--spacing", default=30.0, show_default=True, help="Of the control points, mm.")
@click.option("--seed", default=3, show_default=True)
def main(warps: tuple[float, ...], names: tuple[str, ...], spacing: float, seed: int) -> None:
    """Print a row a warp (mean displacement in mm) and modality."""
    poses = json.loads((VOLUMES / "truth.json").read_text())["fixed_to_moving_lps"]
    straight = load_volume(VOLUMES / "mr_t1.nii.gz")
    grid = grid_of(straight)
    rows = {}
    for size in warps:
        warp = _warp(straight, size, seed)
        fixed, _ = resample_to(straight, grid, warp.itk())
        scan = Scan.of(fixed)
        points = scan.foreground_lps[:, ::7]
        places = points + warp.displacement(points)
        for name in names:
            moving = load_volume(VOLUMES / f"{name}.nii.gz")
            exact = mapped(np.array(poses.get(name, np.eye(4))), places)
            rigid = register(fixed, moving, RegistrationConfig(method="rigid"))
            matrix = rigid.matrix_fixed_to_moving_lps
            rng = np.random.default_rng(seed)
            found = deform(scan, Scan.of(moving), matrix, grid, spacing, rng, SILENT)
            bent = points + found.deformation.displacement(points)
            drift = SAME_DRIFT_MM if name == "mr_t1" else DRIFT_MM
            rows[f"{name}, warp {size:g} mm"] = (
                f"{_apart(mapped(matrix, points), exact):.2f}",
                f"{_apart(mapped(matrix, bent), exact):.2f}",
                f"{found.mean_mm:.1f}",
                f"{found.spread_mm:.2f}",
                f"{found.jacobian[0]:.2f} to {found.jacobian[1]:.2f}",
                "no" if found.objection(drift) else "yes",
            )
    head = ("rigid, mm", "deformed, mm", "moved, mm", "spread, mm", "change of volume", "taken")
    print_table("Mean distance from the truth", head, rows)


def _warp(volume, mean_mm: float, seed: int) -> Deformation:
    """A random warp that moves the head by `mean_mm` on the average."""
    still = lattice_over(grid_of(volume), WAVE_MM)
    values = np.random.default_rng(seed).normal(size=still.coefficients.shape)
    unit = Deformation(values, still.lattice_lps)
    moved = np.linalg.norm(unit.displacement(Scan.of(volume).foreground_lps[:, ::7]), axis=0)
    return Deformation(values * (mean_mm / moved.mean()), still.lattice_lps)


def _apart(found, exact) -> float:
    return float(np.linalg.norm(found - exact, axis=0).mean())


if __name__ == "__main__":
    main()
