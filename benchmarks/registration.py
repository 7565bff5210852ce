"""Registration: error, verdict and time on pairs with known truth, beside other libraries.

    python benchmarks/registration.py [--kind easy] [--pairs 20] [--rivals] [--json FILE]
    python benchmarks/registration.py --real FIXED MOVING [--pairs 6]

Simulated heads (`simulated_heads.py`): the error is the mean distance at points on a grid in the
brain. Real scans have no truth: their moving header is moved at random, and the error is the
distance from where the scans as they lie were brought.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from registration_rivals import rivals
from scipy.spatial.transform import Rotation
from simulated_heads import KINDS, Matrix, Pair, pairs
from tables import print_table

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.io import load_volume
from refinefuse_med.registration import register
from refinefuse_med.volume import affine_ras, grid_of, make_volume

RIGHT_MM = 2.0


@dataclass(frozen=True)
class Outcome:
    """One registration of one pair."""

    kind: str
    pair: str
    method: str
    error_mm: float
    seconds: float
    verdict: str = ""
    spread_mm: float = float("nan")


def ours(pair: Pair) -> Outcome:
    """What this package finds."""
    result = register(pair.fixed, pair.moving, RegistrationConfig(method="rigid"))
    return Outcome(
        pair.name.split()[0],
        pair.name,
        "refinefuse",
        pair.error_mm(result.matrix_fixed_to_moving_lps),
        result.seconds,
        result.verdict,
        result.quality["spread_mm"],
    )


def theirs(pair: Pair) -> Iterator[Outcome]:
    """Every rival that is installed; one that gives up is lost."""
    for name, rival in rivals().items():
        started = time.perf_counter()
        try:
            error = pair.error_mm(rival(pair.fixed, pair.moving))
        except RuntimeError:
            error = float("inf")
        seconds = time.perf_counter() - started
        yield Outcome(pair.name.split()[0], pair.name, name, error, seconds)


def real_pairs(fixed_path: Path, moving_path: Path, count: int) -> Iterator[Pair]:
    """Two scans, moving's header moved; the truth is what the scans as they lie give."""
    fixed, moving = load_volume(fixed_path), load_volume(moving_path)
    as_is = register(fixed, moving, RegistrationConfig(method="rigid"))
    print(f"as they lie: {as_is.verdict}, spread {as_is.quality['spread_mm']:.2f} mm")
    grid = grid_of(fixed)
    half = np.stack(np.meshgrid(*[np.linspace(-0.25, 0.25, 5)] * 3)).reshape(3, -1)
    centre = (LPS_FROM_RAS @ [*grid.center_ras, 1])[:3]
    points = grid.affine_lps[:3, :3] @ (half * np.array(grid.shape)[:, None]) + centre[:, None]
    rng = np.random.default_rng(0)
    for number in range(count):
        pose = _random_pose(rng, as_is.matrix_fixed_to_moving_lps[:3] @ [*centre, 1])
        moved = make_volume(moving, LPS_FROM_RAS @ pose @ LPS_FROM_RAS @ affine_ras(moving))
        truth = pose @ as_is.matrix_fixed_to_moving_lps
        yield Pair(f"real {number}", fixed, moved, truth, points, "header moved")


def _random_pose(rng: np.random.Generator, centre: Matrix) -> Matrix:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-45, 45, 3), degrees=True).as_matrix()
    pose[:3, 3] = centre - pose[:3, :3] @ centre + rng.uniform(-60, 60, 3)
    return pose


def print_summary(outcomes: list[Outcome]) -> None:
    """Print a table for each kind, a row for each method."""
    for kind in dict.fromkeys(o.kind for o in outcomes):
        rows = {}
        for method in dict.fromkeys(o.method for o in outcomes):
            found = [o for o in outcomes if o.kind == kind and o.method == method]
            errors = np.array([o.error_mm for o in found])
            wrong_ok = sum(o.verdict == "ok" and o.error_mm > RIGHT_MM for o in found)
            rows[method] = [
                f"{np.median(errors):.2f} / {errors.max():.1f}",
                f"{(errors < RIGHT_MM).sum()} of {len(found)}",
                f"{np.median([o.seconds for o in found]):.1f}",
                str(wrong_ok) if method == "refinefuse" else "no verdict",
            ]
        head = ["median / max mm", f"under {RIGHT_MM:.0f} mm", "seconds", "wrong but ok"]
        print_table(kind, head, rows)


@click.command()
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--pairs", "count", default=20, show_default=True, help="Of each kind.")
@click.option("--seed", default=0, show_default=True, help="Another seed: other pairs.")
@click.option(
    "--rivals", "with_rivals", is_flag=True, help="SimpleITK; elastix, ANTs if installed."
)
@click.option("--real", nargs=2, type=click.Path(exists=True, path_type=Path), default=None)
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=None)
def main(
    kinds: tuple[str, ...],
    count: int,
    seed: int,
    with_rivals: bool,
    real: tuple[Path, Path] | None,
    json_path: Path | None,
) -> None:
    """Print one line a registration, and a table for each kind."""
    outcomes: list[Outcome] = []
    found = real_pairs(*real, count) if real else (p for k in kinds for p in pairs(k, count, seed))
    for pair in found:
        for outcome in (ours(pair), *(theirs(pair) if with_rivals else ())):
            outcomes.append(outcome)
            print(
                f"{pair.name} ({pair.traits}) {outcome.method}: {outcome.error_mm:.2f} mm"
                f" {outcome.verdict} spread {outcome.spread_mm:.2f} mm, {outcome.seconds:.1f} s",
                flush=True,
            )
    print_summary(outcomes)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if json_path:
        json_path.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    main()
