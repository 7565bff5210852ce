"""Pairs of scans of simulated heads whose true relation is known exactly.

The heads are those of `sample_data/head.py`, each seed with a bend, a skull and soft tissue of its
own; the scanners those of `sample_data/make_sample_data.py`, moved, narrowed and coarsened. A head
takes half a minute and is kept in a cache; a pair takes some seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from refinefuse_med.grid import LPS_FROM_RAS
from refinefuse_med.volume import make_volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sample_data"))
from head import Head, build_head
from make_sample_data import SCANNERS, Scanner, receive_mr, scan

KINDS = ("easy", "hard", "extreme")
MOVING = ("ct", "t2", "pet", "spect")
HEADS = 4
BRAIN_STEP_MM = 12

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair, its truth, and what makes it what it is.

    Attributes
    ----------
    name : str
        Kind, modality of moving, number.
    fixed, moving : MetaTensor, shape (1, I, J, K)
    fixed_to_moving_lps : array, shape (4, 4)
        The truth.
    points_lps : array, shape (3, N)
        A grid of points in the fixed brain, at which errors are taken.
    traits : str
        What was done to it, for the printed line.
    """

    name: str
    fixed: MetaTensor
    moving: MetaTensor
    fixed_to_moving_lps: Matrix
    points_lps: Matrix
    traits: str

    def error_mm(self, fixed_to_moving_lps: Matrix) -> float:
        """Target registration error: the mean distance at the points, mm."""
        apart = (fixed_to_moving_lps - self.fixed_to_moving_lps)[:3]
        distance = np.linalg.norm(apart[:, :3] @ self.points_lps + apart[:, 3:], axis=0)
        return float(distance.mean())


def pairs(kind: str, count: int, seed: int = 0) -> Iterator[Pair]:
    """`count` pairs of a kind, going round the modalities and the heads.

    ``easy``: moving up to 20 mm and 20 degrees away. ``hard``: up to 45 degrees about each axis
    and 300 mm, and one of: a slab of 40 to 70 mm, 5 to 6 mm slices in both scans, lesions that
    one of them shows. ``extreme``: about 90 or 180 degrees, or a slab of 25 to 35 mm.
    """
    for number in range(count):
        yield simulated_pair(kind, MOVING[number % len(MOVING)], number, seed)


def simulated_pair(kind: str, modality: str, number: int, seed: int = 0) -> Pair:
    """One pair; the same arguments give the same values."""
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    head = simulated_head(int(rng.integers(HEADS)))
    fixed = replace(SCANNERS[0], name="mr", spacing=(1.1, 1.1, 1.3), shape=(176, 230, 148))
    moving = next((s for s in SCANNERS if s.name == modality), SCANNERS[0])
    if modality == "t2":
        moving = replace(moving, name="t2", tissue_map="t2", axes="RAS", detector=receive_mr)
    moving = replace(moving, tilt=_tuple(rng.uniform(-6, 6, 3)))
    fixed = replace(fixed, angles=_tuple(rng.uniform(-6, 6, 3)), tilt=_tuple(rng.uniform(-6, 6, 3)))
    maps = dict(head.maps)
    traits = "full"
    if kind == "easy":
        angles = Rotation.from_rotvec(_direction(rng) * rng.uniform(0, 20), degrees=True)
        shift = _direction(rng) * rng.uniform(0, 20)
    elif kind == "hard":
        angles = Rotation.from_euler("xyz", rng.uniform(-45, 45, 3), degrees=True)
        shift = _direction(rng) * rng.uniform(50, 300)
        traits = ("slab", "thick", "lesions", "slab and lesions")[int(rng.integers(4))]
    else:
        turn = rng.choice([90.0, 180.0])
        angles = Rotation.from_rotvec(turn * np.eye(3)[rng.integers(3)], degrees=True)
        angles = angles * Rotation.from_euler("xyz", rng.uniform(-15, 15, 3), degrees=True)
        shift = _direction(rng) * rng.uniform(0, 300)
        traits = ("turned", "turned", "thin slab")[int(rng.integers(3))]
        if traits == "thin slab":
            angles = Rotation.from_euler("xyz", rng.uniform(-30, 30, 3), degrees=True)
    if "slab" in traits:
        moving = _slab(
            moving, rng.uniform(25, 35) if "thin" in traits else rng.uniform(40, 70), rng
        )
    if traits == "thick":
        fixed, moving = _thick(fixed, rng.uniform(5, 6)), _thick(moving, rng.uniform(5, 6))
    if "lesions" in traits:
        maps = _with_lesions(maps, head.affine_ras, rng)
    moving = replace(
        moving, angles=_tuple(angles.as_euler("xyz", degrees=True)), shift=_tuple(shift)
    )
    seen = Head(maps, head.affine_ras, head.landmarks)
    volumes = [
        make_volume(scan(seen, s, rng).astype(np.float32), s.affine_ras, modality=s.modality)
        for s in (fixed, moving)
    ]
    to_lps = LPS_FROM_RAS @ fixed.pose_ras
    truth = LPS_FROM_RAS @ moving.pose_ras @ np.linalg.inv(fixed.pose_ras) @ LPS_FROM_RAS
    points = to_lps[:3, :3] @ _brain_points(head) + to_lps[:3, 3:]
    return Pair(f"{kind} {moving.name} {number}", *volumes, truth, points, traits)


@lru_cache(maxsize=HEADS)
def simulated_head(seed: int) -> Head:
    """A head of its own for each seed, with a T2 contrast beside the others; cached on disk."""
    cache = Path.home() / ".cache" / "refinefuse_med" / f"head_{seed}.npz"
    if not cache.is_file():
        import nilearn

        template = Path(nilearn.__file__).parent / "datasets/data"
        head = build_head(template, np.random.default_rng([2009, seed]))
        cache.parent.mkdir(parents=True, exist_ok=True)
        maps = {name: m.astype(np.float16) for name, m in head.maps.items()}
        partial = cache.with_suffix(f".{seed}.partial.npz")
        np.savez(partial, affine_ras=head.affine_ras, **maps)
        partial.replace(cache)
    with np.load(cache) as stored:
        maps = {n: stored[n].astype(np.float32) for n in stored.files if n != "affine_ras"}
        affine = stored["affine_ras"]
    maps["t2"] = _t2_of(maps)
    return Head(maps, affine, {})


def _t2_of(maps: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Fluid bright, white matter dark, bone and air black, fat in between."""
    t1, hu = maps["t1"], maps["hu"]
    soft = np.clip((hu + 300) / 150, 0, 1) * np.clip((400 - hu) / 200, 0, 1)
    fat = np.clip((-30 - hu) / 50, 0, 1)
    value: NDArray[np.float32] = soft * ((1 - fat) * np.clip(290 - t1, 20, 260) + fat * 140)
    return value


def _brain_points(head: Head) -> Matrix:
    """A grid of points of the brain, template RAS mm, shape (3, N)."""
    step = (slice(None, None, BRAIN_STEP_MM),) * 3
    inside = (head.maps["perfusion"][step] > 25) & (np.abs(head.maps["hu"][step] - 33) < 12)
    index = np.stack(np.nonzero(inside)) * BRAIN_STEP_MM
    return head.affine_ras[:3, :3] @ index + head.affine_ras[:3, 3:]


def _slab(scanner: Scanner, thickness_mm: float, rng: np.random.Generator) -> Scanner:
    slices = max(4, round(thickness_mm / scanner.spacing[2]))
    x, y, z = scanner.field_center
    return replace(
        scanner,
        shape=(*scanner.shape[:2], slices),
        field_center=(x, y, z + rng.uniform(-20, 25)),
    )


def _thick(scanner: Scanner, spacing_mm: float) -> Scanner:
    extent = scanner.spacing[2] * scanner.shape[2]
    return replace(
        scanner,
        spacing=(*scanner.spacing[:2], spacing_mm),
        shape=(*scanner.shape[:2], round(extent / spacing_mm)),
    )


def _with_lesions(
    maps: dict[str, NDArray[np.float32]], affine_ras: Matrix, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Two balls of 8 to 16 mm, each in one contrast alone."""
    bright = {"t1": 60.0, "hu": 75.0, "fdg": 16.0, "perfusion": 6.0, "t2": 255.0}
    maps = dict(maps)
    for name in rng.choice(["t1", "hu", "fdg", "perfusion", "t2"], 2, replace=False):
        centre = np.array([rng.choice([-1, 1]) * rng.uniform(15, 40), *rng.uniform(-60, 40, 2)])
        centre[2] = rng.uniform(5, 45)
        axes = [np.arange(n) + affine_ras[a, 3] for a, n in enumerate(maps[name].shape)]
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        away = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        share = np.clip(rng.uniform(8, 16) + 0.5 - away, 0, 1).astype(np.float32)
        maps[name] = maps[name] + share * (np.float32(bright[name]) - maps[name])
    return maps


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def _tuple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
