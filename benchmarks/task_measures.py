"""What a reader needs of a fused picture: lesions kept, nothing invented, slices that agree.

    python benchmarks/task_measures.py [--model WEIGHTS] [--repeats 2]

On the shipped sample, registered by its truth, in the windows and palettes of the pipeline.
Lesions are put into one scan alone: darker and brighter on MRI, dense on CT, hot and cold on
PET and SPECT; in four contrasts and three sizes, blurred as the scan blurs. Prints Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rivals import RIVALS, with_local_contrast
from scipy import ndimage, special
from tables import print_table
from torch import Tensor

from refinefuse_med import colour
from refinefuse_med.colour.luminance import CHROMA_WEIGHTS
from refinefuse_med.engine.planes import slices_along
from refinefuse_med.metrics.colour import lab
from refinefuse_med.metrics.faithfulness import evaluate_faithfulness
from refinefuse_med.metrics.steadiness import through_plane_change
from refinefuse_med.metrics.visibility import lesion_signal, visibility
from refinefuse_med.network import RefineFuse, weights_info
from refinefuse_med.registration import resample_to
from refinefuse_med.sample import sample_truth, sample_volume
from refinefuse_med.training.validation import Fuse
from refinefuse_med.volume import affine_ras, grid_of, modality_of

LOCAL_CONTRASTS = (0.5, 1.0)
"""Of the network, as ``--local-contrast`` has it, beside the network alone."""

REALISATIONS = 12
CONTRASTS = (0.1, 0.2, 0.35, 0.5)
"""Of a lesion, as a part of its scan's window."""

DIAMETERS_MM = (6.0, 10.0, 16.0)
BLUR_MM = {"mr": 0.8, "ct": 0.8, "pet": 2.5, "spect": 4.0}
"""Standard deviation of what a scan makes of a sharp edge, and of the grain of its noise."""

NOISE = {"mr": 0.02, "ct": 0.015, "pet": 0.03, "spect": 0.03}
"""Standard deviation, as a part of the window."""

RING = 2.0
"""The ring around a lesion, in which it is seen against the anatomy, ends at so many radii."""


@dataclass(frozen=True)
class Pair:
    """The MR and one functional scan, axial slices in [0, 1]; (N, H, W) each."""

    name: str
    anatomical: Tensor
    functional: Tensor
    colormap: str
    spacing_mm: float

    def shown(self, functional: Tensor) -> Tensor:
        """Functional values in their palette, (3, ...)."""
        return colour.colourise(functional, self.colormap)


def load_pair(name: str) -> Pair:
    """Resample a sample scan on the MR by the truth, and window both."""
    mr, moving = sample_volume("mr"), sample_volume(name)
    truth = np.array(sample_truth()["fixed_to_moving_lps"][name])
    on_grid, seen = resample_to(moving, grid_of(mr), truth)
    windows = (
        colour.auto_window(mr, None, role="anatomical"),
        colour.auto_window(on_grid, seen, role="functional"),
    )
    a, f = (
        colour.apply_window(v.as_tensor()[0], w)
        for v, w in zip((mr, on_grid), windows, strict=True)
    )
    axial = slices_along(affine_ras(mr), "axial")
    a, f = (axial.pictures(v).contiguous() for v in (a, f * seen))
    colormap = colour.resolve_colormap("auto", modality_of(moving))
    return Pair(name, a, f, colormap, grid_of(mr).spacing_mm[0])


def luminances(pair: Pair, a: Tensor, f: Tensor, fuse: Fuse) -> Tensor:
    """Fuse (N, H, W) values in [0, 1]; gives the fused luminance."""
    y = colour.luminance(pair.shown(f))
    return torch.cat(
        [fuse(a[n : n + 4, None], y[n : n + 4, None])[:, 0] for n in range(0, len(a), 4)]
    )


def grain(rng: np.random.Generator, shape: tuple[int, ...], scan: str, spacing: float) -> Tensor:
    """Noise of a scan: Gaussian, as coarse as its resolution."""
    sigma = BLUR_MM[scan] / spacing if scan in ("pet", "spect") else 0.0
    noise = ndimage.gaussian_filter(rng.normal(size=shape), (0, sigma, sigma))
    return torch.from_numpy((noise / noise.std() * NOISE[scan]).astype(np.float32))


def lesion_row(
    pair: Pair, scan: str, contrast: float, diameter: float, rng: np.random.Generator
) -> dict[str, Tensor | np.ndarray]:
    """Pictures of one lesion in `scan`: 128 pixels squared, with and without."""
    in_anatomical = scan == "mr"
    host = pair.anatomical if in_anatomical else pair.functional
    # A place in the brain whose values leave room for the lesion.
    for _ in range(1000):
        k = int(rng.integers(len(host) // 3, 2 * len(host) // 3))
        brain = ndimage.binary_erosion(
            ndimage.binary_fill_holes(pair.anatomical[k].numpy() > 0.15),
            iterations=int(20 / pair.spacing_mm),
        )
        inside = np.argwhere(brain)
        center = inside[rng.integers(len(inside))]
        value = float(host[k, center[0], center[1]])
        if 0.05 <= value + contrast <= 0.95:
            break
    rows, columns = np.ogrid[: host.shape[1], : host.shape[2]]
    away = np.hypot(rows - center[0], columns - center[1]) * pair.spacing_mm
    radius, blur = diameter / 2, BLUR_MM[scan]
    profile = special.ndtr((radius - away) / blur)
    lesion = torch.from_numpy((contrast * profile / profile.max()).astype(np.float32))
    shape = (REALISATIONS, *host.shape[1:])
    a = pair.anatomical[k] + grain(rng, shape, "mr", pair.spacing_mm)
    f = pair.functional[k] + grain(rng, shape, pair.name, pair.spacing_mm)
    f = f * (pair.functional[k] > 0)
    changed = ((a + lesion), f) if in_anatomical else (a, (f + lesion))
    cut = tuple(
        slice(max(0, min(int(c) - 64, n - 128)), max(0, min(int(c) - 64, n - 128)) + 128)
        for c, n in zip(center, host.shape[1:], strict=True)
    )
    a, f, a_with, f_with = (x.clamp(0, 1)[:, cut[0], cut[1]] for x in (a, f, *changed))
    core = (away <= radius)[cut]
    ring = ((away > radius + blur) & (away <= RING * radius + blur))[cut]
    return {"a": a, "f": f, "a_with": a_with, "f_with": f_with, "core": core, "ring": ring}


def against_anatomy(picture: Tensor, core: np.ndarray, ring: np.ndarray) -> float:
    """Contrast to the ring around, over the spread within that ring."""
    mean = picture.mean(dim=0).numpy()
    return abs(mean[core].mean() - mean[ring].mean()) / max(float(mean[ring].std()), 1e-3)


def measure_lesion(
    pair: Pair, scan: str, row: dict[str, Tensor | np.ndarray], fuse: Fuse
) -> dict[str, float]:
    """Ratios, fused over source, of one lesion."""
    a, f, a_with, f_with = (row[key] for key in ("a", "f", "a_with", "f_with"))
    core, ring = row["core"], row["ring"]
    fused, fused_with = (luminances(pair, *x, fuse) for x in ((a, f), (a_with, f_with)))
    sources = (a, a_with) if scan == "mr" else (f, f_with)
    if scan != "mr":
        sources = tuple(colour.luminance(pair.shown(x)) for x in sources)
    grey = [
        lesion_signal(*(255 * x.numpy() for x in pic[::-1]), core)
        for pic in (sources, (fused, fused_with))
    ]
    ratios = visibility(grey[1], grey[0]).to_dict()
    ratios["against anatomy"] = against_anatomy(fused_with, core, ring) / max(
        against_anatomy(sources[1], core, ring), 1e-6
    )
    if pair.colormap != "none":
        source = [
            lab(255 * (pair.shown(x) if scan != "mr" else x.expand(3, *x.shape)).movedim(0, -1))
            for x in ((f_with, f) if scan != "mr" else (a_with, a))
        ]
        in_source = lesion_signal(*source, core)
        for keep in CHROMA_WEIGHTS:
            coloured = [
                lab(255 * colour.recolour(y, pair.shown(x), keep).movedim(0, -1).numpy())
                for y, x in ((fused_with, f_with), (fused, f))
            ]
            seen = visibility(lesion_signal(*coloured, core), in_source)
            ratios[f"detectability in colour, {keep} kept"] = seen.detectability
    return ratios


def lesions(pairs: list[Pair], methods: dict[str, Fuse], repeats: int, seed: int) -> None:
    """Print how visible lesions are: median and worst decile of the ratios."""
    for scan in ("mr", "ct", "pet", "spect"):
        hosts = pairs if scan == "mr" else [p for p in pairs if p.name == scan]
        signs = (1.0,) if scan == "ct" else (1.0, -1.0)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
        rng = np.random.default_rng(seed)
        for pair in hosts:
            for contrast in (s * c for c in CONTRASTS for s in signs):
                for diameter in DIAMETERS_MM * repeats:
                    row = lesion_row(pair, scan, contrast, diameter, rng)
                    for name, fuse in methods.items():
                        found[name].append(measure_lesion(pair, scan, row, fuse))
        head = list(dict.fromkeys(key for row in next(iter(found.values())) for key in row))
        cells = {
            name: [
                "{:.2f} / {:.2f}".format(*np.percentile([r[h] for r in rows if h in r], (50, 10)))
                for h in head
            ]
            for name, rows in found.items()
        }
        number = len(next(iter(found.values())))
        print_table(
            f"Lesions on {scan.upper()} alone ({number}): median / worst decile", head, cells
        )


def volumes(pairs: list[Pair], methods: dict[str, Fuse]) -> None:
    """Print false edges and the change through the plane."""
    for pair in pairs:
        y = colour.luminance(pair.shown(pair.functional))
        middle = slice(len(y) // 4, 3 * len(y) // 4)
        a, f = pair.anatomical[middle], pair.functional[middle]
        cells = {}
        for name, fuse in methods.items():
            fused = luminances(pair, a, f, fuse)
            levels = [255 * x.numpy() for x in (fused, a, y[middle])]
            edges = [evaluate_faithfulness(*s) for s in zip(*levels, strict=True)]
            cells[name] = [f"{np.mean([e[k] for e in edges]):.2f}" for k in edges[0]]
            cells[name].append(f"{through_plane_change(*levels):.3f}")
        head = [*edges[0], "through-plane change"]
        print_table(f"MR with {pair.name.upper()}, {len(a)} slices", head, cells)


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Weights; those in the package.")
@click.option("--repeats", default=2, show_default=True, help="Lesions of each kind.")
@click.option("--seed", default=0, show_default=True)
@torch.inference_mode()
def main(model: Path | None, repeats: int, seed: int) -> None:
    """Measure on the shipped sample."""
    rivals = {name: RIVALS[name] for name in ("pixel maximum", "Laplacian pyramid", "mean")}
    network = RefineFuse.from_pretrained(model)
    pairs = [load_pair(name) for name in ("ct", "pet", "spect")]
    methods: dict[str, Fuse] = {f"**{weights_info(model).name}**": network}
    for amount in LOCAL_CONTRASTS:
        methods[f"local contrast {amount:g}"] = with_local_contrast(
            network, amount, pairs[0].spacing_mm
        )
    methods |= rivals
    lesions(pairs, methods, repeats, seed)
    volumes(pairs, methods)


if __name__ == "__main__":
    main()
