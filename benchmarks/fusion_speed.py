"""Speed of the network, beside what the machine can do, all in one run.

    python benchmarks/fusion_speed.py [--model WEIGHTS] [--device cpu] [--threads 1]

Prints parameters, multiply-accumulates, slices a second of 256 x 256, peak memory, and ratios:
to the machine's own rate of plain convolutions, to a network of the size of IFCNN (8.5 GMACs of
3 x 3 and 7 x 7 convolutions), and of the contribution map and of local contrast to the fused
picture alone. What is compared runs in turns; medians are printed.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rivals import with_local_contrast
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from refinefuse_med.engine import resolve_device
from refinefuse_med.network import RefineFuse

SIDE = 256


class PlainConvolutions(nn.Module):
    """The convolutions of IFCNN (Zhang et al., Information Fusion 54, 2020), untrained."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(3, 64, 7, padding=3), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.decode = nn.Sequential(
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(64, 3, 1)
        )

    def forward(self, a: Tensor, f: Tensor) -> Tensor:
        """Two (B, 1, H, W) to one (B, 3, H, W)."""
        encoded = [self.encode(x.expand(-1, 3, -1, -1)) for x in (a, f)]
        return self.decode(torch.maximum(*encoded))


def macs(run: Callable[[], object]) -> float:
    """Multiply-accumulates of a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


def in_turns(
    runs: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each call, all called once a round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Weights; those in the package.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of the CPU.")
@click.option("--batch", default=4, show_default=True, help="Slices at a time.")
@click.option("--rounds", default=9, show_default=True)
@torch.inference_mode()
def main(model: Path | None, device: str, threads: int, batch: int, rounds: int) -> None:
    """Measure on this machine."""
    torch.set_num_threads(threads)
    place = resolve_device(device)
    network = RefineFuse.from_pretrained(model).to(place)
    plain = PlainConvolutions().eval().to(place, memory_format=torch.channels_last)
    ceiling = nn.Conv2d(64, 64, 3, padding=1).to(place, memory_format=torch.channels_last)
    a, f = torch.rand(2, batch, 1, SIDE, SIDE, device=place)
    wide = torch.rand(batch, 64, SIDE, SIDE, device=place).to(memory_format=torch.channels_last)

    mixed = with_local_contrast(network, 1.0, 1.0)
    runs: dict[str, Callable[[], object]] = {
        "network": lambda: network(a, f),
        "with contribution": lambda: network.with_contribution(a, f),
        "with local contrast": lambda: mixed(a, f),
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network(a, f)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1e3
    runs |= {"plain convolutions": lambda: plain(a, f), "convolution": lambda: ceiling(wide)}
    work = {name: macs(run) / batch for name, run in runs.items()}
    seconds = in_turns(runs, rounds, place)
    rate = {name: statistics.median(s) / batch for name, s in seconds.items()}

    def ratio(over: str, under: str) -> float:
        pairs = zip(seconds[over], seconds[under], strict=True)
        return statistics.median(x / y for x, y in pairs)

    gflops = {name: 2 * work[name] / rate[name] / 1e9 for name in runs}
    print(f"device {place}, {threads} threads, {batch} slices of {SIDE} x {SIDE} at a time\n")
    print("| | |\n|---|---|")
    rows = {
        "parameters": f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f} M",
        "a slice": f"{work['network'] / 1e9:.2f} GMACs ({2 * work['network'] / 1e9:.1f} GFLOPs)",
        "slices a second": f"{1 / rate['network']:.1f}",
        "rate": f"{gflops['network']:.0f} GFLOP/s",
        "of the machine's plain 3 x 3, 64-channel convolution": (
            f"{100 * gflops['network'] / gflops['convolution']:.0f} %"
            f" of {gflops['convolution']:.0f} GFLOP/s"
        ),
        f"time over that of {work['plain convolutions'] / 1e9:.1f} GMACs of plain convolutions": (
            f"{ratio('network', 'plain convolutions'):.2f}"
        ),
        "time with the contribution over without": f"{ratio('with contribution', 'network'):.3f}",
        "time with local contrast over without": f"{ratio('with local contrast', 'network'):.3f}",
        "memory of the first batch, over weights and inputs": f"{peak:.0f} MB",
    }
    if place.type == "cuda":
        rows["peak memory on the device"] = f"{torch.cuda.max_memory_allocated(place) / 1e6:.0f} MB"
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
