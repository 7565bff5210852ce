"""Does the verdict tell right registrations from wrong ones? On simulated pairs, good and spoilt.

    python benchmarks/registration_verdict.py [--pairs 16] [--seed 0] [--json FILE]

Every pair is registered as it should be, and spoilt: started near a wrong place, where the
optimiser gets stuck; its moving scan drowned in noise; and put by a given transform that is
right, or some way off. Prints how the verdicts fall, and the area under the ROC of every
measure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import mannwhitneyu
from simulated_heads import KINDS, Matrix, Pair, pairs
from tables import print_table

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.registration import RegistrationResult, assess, register
from refinefuse_med.volume import affine_ras, grid_of, make_volume

RIGHT_MM, WRONG_MM = 2.0, 5.0
RIGID = RegistrationConfig(method="rigid")


@dataclass(frozen=True)
class Judged:
    """One registration, its true error and its verdict."""

    pair: str
    how: str
    error_mm: float
    verdict: str
    quality: dict[str, float]


def judged(pair: Pair, rng: np.random.Generator) -> Iterator[Judged]:
    """The pair registered as it should be, and spoilt in several ways."""

    def outcome(how: str, result: RegistrationResult) -> Judged:
        error = pair.error_mm(result.matrix_fixed_to_moving_lps)
        return Judged(pair.name, how, error, result.verdict, result.quality)

    fixed, moving, truth = pair.fixed, pair.moving, pair.fixed_to_moving_lps
    yield outcome("found", register(fixed, moving, RIGID))
    centre = (LPS_FROM_RAS @ [*grid_of(fixed).center_ras, 1])[:3]
    for degrees, mm in ((rng.uniform(10, 25), rng.uniform(0, 20)), (rng.uniform(40, 180), 30)):
        start = truth @ _off(rng, centre, degrees, mm)
        result = register(fixed, moving, RIGID, start_fixed_to_moving_lps=start)
        yield outcome("started wrong", result)
    values = moving.as_tensor().numpy()
    noise = rng.standard_normal(values.shape) * np.ptp(np.percentile(values, (1, 99)))
    drowned = make_volume((values + noise).astype(np.float32), affine_ras(moving))
    yield outcome("drowned", register(fixed, drowned, RIGID))
    yield outcome("given, right", assess(fixed, moving, truth))
    off = truth @ _off(rng, centre, rng.uniform(0, 15), rng.uniform(5, 30))
    yield outcome("given, off", assess(fixed, moving, off))


def _off(rng: np.random.Generator, centre: Matrix, degrees: float, mm: float) -> Matrix:
    axis, shift = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(axis * degrees, degrees=True).as_matrix()
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + mm * shift
    return matrix


def print_verdicts(found: list[Judged]) -> None:
    """How the verdicts fall for right and wrong registrations, by how they came about."""
    head = ["right: ok", "suspect", "failed", "in between", "wrong: ok", "suspect", "failed"]
    rows = {}
    for how in (*dict.fromkeys(j.how for j in found), "all"):
        of_it = [j for j in found if how in ("all", j.how)]
        right = [j.verdict for j in of_it if j.error_mm < RIGHT_MM]
        wrong = [j.verdict for j in of_it if j.error_mm > WRONG_MM]
        between = len(of_it) - len(right) - len(wrong)
        verdicts = ("ok", "suspect", "failed")
        rows[how] = [
            *(str(right.count(v)) for v in verdicts),
            str(between),
            *(str(wrong.count(v)) for v in verdicts),
        ]
    print_table(f"right: under {RIGHT_MM} mm; wrong: over {WRONG_MM} mm", head, rows)


def print_roc(found: list[Judged]) -> None:
    """Area under the ROC of each measure, for telling wrong registrations from right ones."""
    rows = {}
    for name, sign in (
        ("spread_mm", 1),
        ("mutual_information", -1),
        ("overlap", -1),
        ("rotation_degrees", 1),
        ("translation_mm", 1),
    ):
        measured = [j for j in found if name in j.quality]
        wrong = [sign * j.quality[name] for j in measured if j.error_mm > WRONG_MM]
        right = [sign * j.quality[name] for j in measured if j.error_mm < RIGHT_MM]
        if wrong and right:
            area = mannwhitneyu(wrong, right).statistic / (len(wrong) * len(right))
            rows[name] = [f"{area:.3f}", str(len(right)), str(len(wrong))]
    print_table("area under the ROC", ["area", "right", "wrong"], rows)


@click.command()
@click.option("--pairs", "count", default=16, show_default=True, help="Of each kind.")
@click.option("--seed", default=0, show_default=True, help="Another seed: other pairs.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), default=None)
def main(count: int, seed: int, json_path: Path | None) -> None:
    """Print one line a registration, then the tables."""
    found: list[Judged] = []
    for number, of_each_kind in enumerate(
        zip(*(pairs(k, count, seed) for k in KINDS), strict=True)
    ):
        rng = np.random.default_rng([seed, number, 1])
        for one in (one for pair in of_each_kind for one in judged(pair, rng)):
            found.append(one)
            print(
                f"{one.pair} {one.how}: {one.error_mm:.2f} mm {one.verdict}"
                f" spread {one.quality.get('spread_mm', np.nan):.2f} mm",
                flush=True,
            )
        if json_path:
            json_path.write_text(json.dumps([asdict(j) for j in found], indent=1) + "\n")
    print_verdicts(found)
    print_roc(found)


if __name__ == "__main__":
    main()
