"""What the engine makes of a machine, beside what the machine can do, all in one run.

    python benchmarks/engine.py [--device cpu] [--threads 2] [--size 256 256 182] [--rounds 5]

Three tables: ceilings of the device (a large matrix product, a large copy, a plain 3 x 3
convolution of 32 channels) with the share of them that the network reaches; whole volumes,
transfers included, on one plane and on three; and where the time of `refinefuse fuse` goes, on
the sample and on a pair of that size. What is compared runs in turns, and medians are printed.
Where ONNX Runtime is installed, it runs beside PyTorch on the CPU. Run it on a machine that does
nothing else.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from batch_studies import make_pair
from fusion_speed import in_turns, macs
from tables import print_table
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from refinefuse_med.config import EngineConfig, FusionConfig, Plane
from refinefuse_med.engine import Engine, resolve_device
from refinefuse_med.engine.memory import reused_memory
from refinefuse_med.io import load_volume
from refinefuse_med.network import RefineFuse
from refinefuse_med.pipeline import fuse_pair
from refinefuse_med.registration import register
from refinefuse_med.sample import make_sample

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])

_REPEATS = 20


class Traffic(TorchDispatchMode):
    """Counts the bytes that every operation reads and writes; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count its tensors."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = (x for x in tree_leaves((args, kwargs, result)) if torch.is_tensor(x))
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return result


def measure_ceilings(device: torch.device, half: bool, rounds: int) -> dict[str, tuple[float, str]]:
    """Rates of the device, by name: value and unit."""
    large = device.type == "cuda"
    side, channels = (8192, 32) if large else (2048, 32)
    kind = torch.float16 if half else torch.float32
    matrix = torch.rand(side, side, device=device, dtype=kind)
    source = torch.rand(2**28 if large else 2**25, device=device)
    target = torch.empty_like(source)
    wide = torch.rand(64 if large else 1, channels, 256, 256, device=device, dtype=kind)
    wide = wide.to(memory_format=torch.channels_last)
    plain = nn.Conv2d(channels, channels, 3, padding=1).to(device, kind)
    plain = plain.to(memory_format=torch.channels_last)
    runs: dict[str, Callable[[], object]] = {
        "matrix product": lambda: matrix @ matrix,
        "copy": lambda: target.copy_(source),
        # Several: one alone is mostly waking up the threads.
        "3 x 3 convolution, 32 channels": lambda: [plain(wide) for _ in range(_REPEATS)],
    }
    seconds = {name: statistics.median(s) for name, s in in_turns(runs, rounds, device).items()}
    moved = 2 * source.numel() * source.element_size()
    rates = {}
    for name, s in seconds.items():
        is_copy = name == "copy"
        amount = moved if is_copy else 2 * macs(runs[name])
        rates[name] = (amount / s / 1e9, "GB/s" if is_copy else "GFLOP/s")
    return rates


def network_rows(engine: Engine, batch: int, rounds: int) -> dict[str, list[str]]:
    """The network alone, on slices that lie on the device.

    On a CPU as the engine runs it: `batch` slices for each thread, side by side.
    """
    device = engine.device
    half = device.type == "cuda"
    ceilings = measure_ceilings(device, half, rounds)
    slices = batch if half else batch * torch.get_num_threads()
    a, f = torch.rand(2, slices, 1, 256, 256, device=device)

    def network() -> object:
        with torch.autocast(device.type, torch.float16, enabled=half):
            return engine.model.with_contribution(a[:batch], f[:batch])

    work = 2 * macs(network) / batch
    with Traffic() as traffic:
        network()
    moved = traffic.bytes / batch
    runs: dict[str, Callable[[], object]] = {
        "this": network if half else lambda: engine.fuse_slices(a[:, 0], f[:, 0])
    }
    runs |= _on_a_gpu(engine.model, a, f) if half else _onnxruntime(engine.model, a, f)
    seconds = in_turns(runs, rounds, device)
    each = statistics.median(seconds["this"]) / slices
    rows = {
        "slices a second": [f"{1 / each:.1f}"],
        "FLOPs a slice": [f"{work / 1e9:.2f} GFLOPs"],
        "bytes a slice, read and written": [f"{moved / 1e6:.0f} MB"],
    }
    reached = {"GFLOP/s": work / each / 1e9, "GB/s": moved / each / 1e9}
    for name, (rate, unit) in ceilings.items():
        rows[f"of {name}, {rate:.0f} {unit}"] = [f"{100 * reached[unit] / rate:.0f} %"]
    for rival in list(runs)[1:]:
        pairs = zip(seconds["this"], seconds[rival], strict=True)
        rows[f"speed of {rival} over this"] = [f"{statistics.median(x / y for x, y in pairs):.2f}"]
    if half:
        rows["largest difference of float16 to float32"] = [_half_error(engine.model, a, f)]
    return rows


def _half_error(model: RefineFuse, a: torch.Tensor, f: torch.Tensor) -> str:
    exact = model(a[:4], f[:4])
    with torch.autocast(a.device.type, torch.float16):
        apart = (model(a[:4], f[:4]).float() - exact).abs().max()
    return f"{255 * float(apart):.2f} of 255"


def _on_a_gpu(
    model: RefineFuse, a: torch.Tensor, f: torch.Tensor
) -> dict[str, Callable[[], object]]:
    """What the engine does not use, to see whether it should; what fails is told, and left out."""
    runs: dict[str, Callable[[], object]] = {}

    def half(run: Callable[[torch.Tensor, torch.Tensor], object]) -> Callable[[], object]:
        def network() -> object:
            with torch.autocast(a.device.type, torch.float16):
                return run(a, f)

        return network

    network = half(model.with_contribution)
    try:
        graph = torch.cuda.CUDAGraph()
        network()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            network()
        runs["a CUDA graph of it"] = graph.replay
    except RuntimeError as error:
        print(f"CUDA graph: {error}")
    compiled = half(torch.compile(model.with_contribution))
    try:
        compiled()
        runs["torch.compile"] = compiled
    except Exception as error:
        print(f"torch.compile: {error}")
    return runs


def _onnxruntime(
    model: RefineFuse, a: torch.Tensor, f: torch.Tensor
) -> dict[str, Callable[[], object]]:
    """ONNX Runtime with as many threads: within operations, and as the engine uses them."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    from refinefuse_med.network.export import export_onnx

    threads = torch.get_num_threads()
    pairs = [
        {"anatomical": x.numpy(), "functional": y.numpy()}
        for x, y in zip(a.split(1), f.split(1), strict=True)
    ]

    def session(inside: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = inside
        # Its threads go on spinning after a run, and would halve the speed of whatever is next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with torch.inference_mode(False):
            export_onnx(model, path, (256, 256))
        split, whole = session(threads), session(1)
    pool = ThreadPoolExecutor(threads)
    return {
        "ONNX Runtime": lambda: [split.run(None, pair) for pair in pairs],
        "ONNX Runtime, slices side by side": lambda: list(
            pool.map(lambda pair: whole.run(None, pair), pairs)
        ),
    }


def volume_rows(
    model: RefineFuse, device: str, size: tuple[int, int, int], rounds: int
) -> dict[str, list[str]]:
    """Whole volumes from and to the host's memory."""
    a, f = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    planes: tuple[Plane, ...] = ("axial", "coronal", "sagittal", "triplanar")
    engines = {p: Engine(model, EngineConfig(device=device, plane=p)) for p in planes}
    place = engines["axial"].device
    results: dict[str, Any] = {}

    def run(plane: str) -> Callable[[], None]:
        def fuse() -> None:
            results[plane] = engines[plane].fuse(a, f, AFFINE)

        return fuse

    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    seconds = in_turns({plane: run(plane) for plane in planes}, rounds, place)
    rows = {}
    for plane in planes:
        middle = statistics.median(seconds[plane])
        slices = results[plane].slices
        over = statistics.median(
            x / y for x, y in zip(seconds[plane], seconds["axial"], strict=True)
        )
        rows[plane] = [
            f"{middle:.3f}",
            f"{slices / middle:.1f}",
            f"{over:.2f}",
            str(results[plane].batch_size),
            results[plane].precision,
        ]
    return rows


def stage_rows(device: str, size: tuple[int, int, int] | None) -> dict[str, list[str]]:
    """What each stage takes on the sample, or on a pair of a size, from DICOM to NIfTI and DICOM.

    Seconds, their share, and the share of the processor time of all threads.
    """
    spent: dict[str, tuple[float, float]] = {}

    def timed(stage: str, run: Callable[[], Any]) -> Any:
        started, worked = time.perf_counter(), _processor_seconds()
        result = run()
        spent[stage] = (time.perf_counter() - started, _processor_seconds() - worked)
        return result

    config = FusionConfig(engine=EngineConfig(device=device))
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        if size is None:
            make_sample(study, dicom=True)
        else:
            make_pair(study, size, dicom=True)
        start_up = [sys.executable, "-c", "import refinefuse_med.pipeline, refinefuse_med.output"]
        timed("imports", lambda: subprocess.run(start_up, check=True))
        model = timed("load the network", RefineFuse.from_pretrained)
        scans = timed("read", lambda: [load_volume(study / name) for name in ("MR", "PT")])
        known = timed("register", lambda: register(*scans))
        result = timed(
            "resample, colour, fuse",
            lambda: fuse_pair(*scans, config, model=model, known=known),
        )
        timed(
            "write NIfTI, DICOM, preview",
            lambda: result.save(Path(folder) / "out", format=("nifti", "dicom"), preview=True),
        )
    whole, work = (sum(column) for column in zip(*spent.values(), strict=True))
    rows = {
        stage: [f"{s:.2f}", f"{100 * s / whole:.0f} %", f"{100 * w / work:.0f} %"]
        for stage, (s, w) in spent.items()
    }
    network = result.picture.run.seconds
    share = f"{100 * network / whole:.0f} %"
    rows["of this the network, with its transfers"] = [f"{network:.2f}", share, ""]
    return rows


def _processor_seconds() -> float:
    """Of all threads of this process, and of the children it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@click.command()
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", default=0, help="Of the CPU; 0: all cores.")
@click.option("--size", nargs=3, default=(256, 256, 182), show_default=True)
@click.option("--batch", default=0, help="Slices for the network alone; 0: 4 a thread, or 64.")
@click.option("--rounds", default=5, show_default=True)
@torch.inference_mode()
def main(device: str, threads: int, size: tuple[int, int, int], batch: int, rounds: int) -> None:
    """Measure on this machine."""
    torch.set_num_threads(threads or os.cpu_count() or 1)
    place = resolve_device(device)
    model = RefineFuse.from_pretrained()
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.processor()
    print(f"{place} ({name}), {torch.get_num_threads()} threads, torch {torch.__version__}")
    batch = batch or (64 if place.type == "cuda" else 4)
    engine = Engine(model, EngineConfig(device=str(place)))
    with reused_memory() if place.type == "cpu" else nullcontext():  # as the engine runs it
        rows = network_rows(engine, batch, rounds)
    print_table(f"The network alone, {batch} slices of 256 x 256", ["found"], rows)
    head = ["seconds", "slices a second", "time over axial", "slices at a time", "precision"]
    rows = volume_rows(model, str(place), size, rounds)
    print_table(f"A pair of {' x '.join(map(str, size))}, from and to the host", head, rows)
    head = ["seconds", "share", "share of the processor time"]
    for title, of in (("The sample", None), (f"A pair of {' x '.join(map(str, size))}", size)):
        print_table(f"{title}, MR and PET, DICOM in and out", head, stage_rows(str(place), of))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\npeak memory of the process: {peak:.0f} MB")
    if place.type == "cuda":
        print(f"peak memory on the device: {torch.cuda.max_memory_allocated(place) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
