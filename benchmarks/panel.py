"""The napari panel in a real window: how long it takes, how long it blocks, what it holds.

    scripts/with-display python benchmarks/panel.py                   # about five minutes
    scripts/with-display python benchmarks/panel.py --memory 512 512 600 --machine 8

The first works on the sample study as a user does, and prints for each step its duration and the
longest time for which the window did not answer (a timer of 5 ms that came late). What held it up
is told from the stack of the main thread at that time: our own code; napari, called by us (a layer
is added, say); napari by itself; or nothing in Python, such as drawing. How much of that time the
main thread was computing is told too: where others use the machine, that is what can be compared.
Before them stand steps of napari alone, with arrays of the same size and a dock of as many widgets,
in a process of its own that never loads the plugin.

The second measures memory: what the process holds, and its peak, in GB and in bytes for a voxel
of a CT of that size, from its file to the export. With `--machine` the panel is told that the
machine has so many GB, and no more. The PET covers a sixth of the CT, as the slices that are
fused change the time and not the memory.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

BEAT_MS = 5
LATE_S = 0.02
ROW = "{:<38}{:>9}{:>12}{:>9}   {}"


class Heart:
    """Beats in the main thread, and notes when it was late and what the thread was at.

    An alarm, which Python answers in the main thread, looks at the stack. Another thread that did
    would hold its frames for a moment, and now and then let go of what is Qt's: a crash.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.last, self._worked = time.perf_counter(), time.thread_time()
        self.gaps: list[tuple[float, float, str]] = []
        self._seen = ""
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)
        atexit.register(self.stop)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, LATE_S / 2, LATE_S / 2)

    @staticmethod
    def stop() -> None:
        """Look no more."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _beat(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        gap = now - self.last
        if gap > LATE_S:
            self.gaps.append((gap, worked - self._worked, self._seen))
        self._seen, self.last, self._worked = "", now, worked

    def _look(self, _: int, frame: FrameType | None) -> None:
        if time.perf_counter() - self.last > LATE_S:
            self._seen = _who(frame) or self._seen

    def begin(self) -> None:
        """Forget what was late so far."""
        self.gaps.clear()
        self.last, self._worked = time.perf_counter(), time.thread_time()

    def worst(self) -> tuple[float, float, str]:
        """The longest time without a beat, how much of it was computing, and what it was at."""
        return max(self.gaps, default=(0.0, 0.0, ""))


def _who(frame: FrameType | None) -> str:
    codes = [each.f_code for each, _ in traceback.walk_stack(frame)][::-1]
    ours, napari = (
        max((i for i, code in enumerate(codes) if part in code.co_filename), default=-1)
        for part in ("refinefuse_", "site-packages/napari")
    )
    if ours < 0:
        return "" if napari < 0 else f"napari: {_place(codes[napari])}"
    if ours == len(codes) - 1:
        return f"ours: {_place(codes[ours])}"
    if napari > ours:
        return f"napari ({_place(codes[napari])}), called by {_place(codes[ours])}"
    return f"ours: {_place(codes[ours])} -> {_place(codes[-1])}"


def _place(code: CodeType) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_name}"


def live(seconds: float) -> None:
    """Let the window live."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    while not condition():
        live(0.01)


class Bench:
    """A viewer with the panel, and a table of what is done with it."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        self.viewer = napari.Viewer(title="benchmark")
        self.viewer.window.resize(1500, 1000)
        live(1.0)
        self.app = QApplication.instance()
        self.heart = Heart()
        self.panel = None

    @contextmanager
    def step(self, name: str):
        """Time what is done within, until the work that it began has ended."""
        gc.collect()
        live(0.3)
        self.heart.begin()
        started = time.perf_counter()
        yield
        if self.panel is not None:
            from refinefuse_napari._controller import State

            state = self.panel.session.controller
            until(lambda: state.state is not State.RUNNING)
            if state.state is State.FAILED:
                raise SystemExit(f"{name}: {self.panel.said.text()}")
        seconds = time.perf_counter() - started
        live(0.3)
        gap, worked, who = self.heart.worst()
        figures = f"{seconds:.2f}", f"{1000 * gap:.0f}", f"{1000 * worked:.0f}"
        print(ROW.format(name, *figures, who), flush=True)

    def open_panel(self) -> None:
        """Open the panel, and wait for what it does in the beginning."""
        with self.step("open the panel"):
            _, self.panel = self.viewer.window.add_plugin_dock_widget(
                "refinefuse-med", "RefineFuse"
            )
            self.app.processEvents()
        with self.step("load the network, time the machine"):
            until(lambda: self.panel.session.machine is not None)


def windows(folder: Path) -> None:
    """The work of a user, step by step."""
    from refinefuse_med.sample import make_sample

    make_sample(folder / "sample", dicom=True)
    print(ROW.format("step", "seconds", "blocked ms", "CPU ms", "by"), flush=True)
    subprocess.run([sys.executable, __file__, "--napari-alone"], check=True)
    bench = Bench()
    viewer = bench.viewer
    bench.open_panel()
    panel = bench.panel
    with bench.step("read two DICOM series"):
        panel.session.open([str(folder / "sample" / name) for name in ("MR", "PT")])
    with bench.step("align"):
        panel.align.align.button.click()
    with bench.step("preview, first slice"):
        panel.fuse.preview.button.click()
        until(lambda: not panel.fuse.preview.is_busy)
    mr = panel.session.anatomical
    for number in (60, 75, 90):
        with bench.step("preview, another slice"):
            viewer.dims.set_point(0, mr.data_to_world((number, 0, 0))[0])
            live(0.05)
            until(lambda: not panel.fuse.preview.is_busy)
    panel.fuse.preview.button.click()
    with bench.step("shift by hand"):
        panel.align.shift[0].setValue(2)
        live(0.2)
        until(lambda: not panel.align._latest.busy and not panel.align._judging.busy)
    with bench.step("fuse"):
        panel.fuse.fuse.button.click()
    for kind, view in panel.check.compare.items():
        with bench.step(f"check: {kind}"):
            view.click()
    with bench.step("check: contribution"):
        panel.check.contribution.click()
    with bench.step("swipe"):
        for percent in range(90, 10, -20):
            panel.check.swipe.setValue(percent)
            live(0.02)
        panel.check.swipe.setValue(100)
    with bench.step("export DICOM, preview, report"):
        panel.export.folder.setText(str(folder / "out"))
        panel.export.export.button.click()
    with bench.step("cursor over the picture"):
        for step in range(40):
            viewer.cursor.position = mr.data_to_world((80, 20 + 2 * step, 60))
            panel.readout.cursor_moved(viewer)
            live(0.005)
    viewer.close()


def napari_alone() -> None:
    """What of the same work napari does by itself."""
    from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QWidget

    bench, rng = Bench(), np.random.default_rng(0)
    viewer = bench.viewer
    with bench.step("napari alone: dock 90 widgets"):
        widget = QWidget()
        form = QFormLayout(widget)
        for number in range(45):
            form.addRow(QLabel(f"label {number}"), QPushButton(f"button {number}"))
        viewer.window.add_dock_widget(widget)
        bench.app.processEvents()
    # As large as the MR and the PET of the sample.
    mr, pet = (rng.random(shape, np.float32) for shape in ((104, 196, 148), (58, 116, 96)))
    with bench.step("napari alone: add the first scan"):
        viewer.add_image(mr, contrast_limits=(0, 1))
    with bench.step("napari alone: add another scan"):
        viewer.add_image(pet, contrast_limits=(0, 1))
    picture = np.repeat((255 * mr).astype(np.uint8)[..., None], 3, axis=-1)
    with bench.step("napari alone: add a picture"):
        viewer.add_image(picture, rgb=True)
    with bench.step("napari alone: go through slices"):
        for number in range(40, 80):
            viewer.dims.set_point(0, number)
            live(0.005)
    viewer.close()


def write_scans(folder: Path, shape: tuple[int, int, int]) -> list[str]:
    """A CT of this size, 16 bits a voxel, and a PET of a slab of it, as NIfTI files."""
    import nibabel as nib

    # The middle slices of either are at 0 mm.
    (i, j, k), slab = shape, (shape[0] // 4, shape[1] // 4, max(shape[2] // 24, 4))
    sizes = {"ct.nii": ((i, j, k), 1.0), "pet.nii": (slab, 4.0)}
    for name, (size, mm) in sizes.items():
        x, y, z = (mm * (np.arange(n, dtype=np.float32) - (n - 1) / 2) for n in size)
        part = (x[:, None, None] / i) ** 2 + (y[None, :, None] / j) ** 2 + (z / k) ** 2
        data = np.full(size, -1000 if mm == 1 else 0, np.int16)
        # Rings, so that there are edges.
        data[part < 0.2] = (60 + 200 * (np.sin(60 * part[part < 0.2]) > 0.5)).astype(np.int16)
        origin = [-x[0], -y[0], z[0]]
        affine = np.block([[np.diag([-mm, -mm, mm]), np.array(origin)[:, None]], [0, 0, 0, 1]])
        nib.save(nib.Nifti1Image(data, affine), folder / name)
    return [str(folder / name) for name in sizes]


def memory(folder: Path, shape: tuple[int, int, int], machine: float | None) -> None:
    """What the panel holds, and its peak, step by step."""
    import psutil

    from refinefuse_napari._controller import State

    paths = write_scans(folder, shape)
    if machine:
        whole = psutil.virtual_memory()
        psutil.virtual_memory = lambda: whole._replace(
            available=max(0, int(1e9 * machine) - held())
        )
    bench = Bench()
    voxels = int(np.prod(shape))
    bench.open_panel()
    panel = bench.panel
    panel.align.method.setCurrentText("none")
    columns = "{:<34}{:>9}{:>9}{:>9}{:>9}{:>9}"
    print(columns.format("", "held GB", "peak GB", "B/voxel", "B/voxel", "seconds"))
    rest()
    base, peaks = held(), []

    def row(name: str, begin: Callable[[], object]) -> None:
        forget_peak()
        started = time.perf_counter()
        begin()
        until(lambda: panel.session.controller.state is not State.RUNNING)
        until(lambda: not panel.fuse.preview.is_busy)
        live(1.0)
        if panel.session.controller.state is State.FAILED:
            raise SystemExit(f"{name}: {panel.said.text()}")
        seconds, most = time.perf_counter() - started, peak()
        rest()
        peaks.append(most)
        figures = [f"{n / 1e9:.2f}" for n in (held(), most)]
        figures += [f"{(n - base) / voxels:.1f}" for n in (held(), most)]
        print(columns.format(name, *figures, f"{seconds:.0f}"), flush=True)

    row("nothing opened", lambda: None)
    row("open", lambda: panel.session.open(paths))
    row("align", panel.align.align.button.click)
    row("preview", panel.fuse.preview.button.click)
    panel.fuse.preview.button.click()
    row("fuse", panel.fuse.fuse.button.click)
    print(panel.fuse.memory.text())
    for kind, view in panel.check.compare.items():
        row(f"check: {kind}", view.click)
    row("check: contribution", panel.check.contribution.click)
    row("check: swipe", lambda: panel.check.swipe.setValue(50))
    row("fuse again", panel.fuse.fuse.button.click)
    panel.export.folder.setText(str(folder / "out"))
    row("export, preview, report", panel.export.export.button.click)
    row("all layers removed", bench.viewer.layers.clear)
    print(f"most at any time: {max(peaks) / 1e9:.2f} GB")
    bench.viewer.close()


def rest() -> None:
    """Give back what is free."""
    import ctypes

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def held() -> int:
    """Bytes in memory."""
    return _status("VmRSS")


def peak() -> int:
    """Most bytes in memory since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Begin to look for the peak anew."""
    rest()
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure one or the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=int, nargs=3, metavar=("I", "J", "K"))
    parser.add_argument("--machine", type=float, metavar="GB")
    parser.add_argument("--napari-alone", action="store_true")
    arguments = parser.parse_args()
    if arguments.napari_alone:
        napari_alone()
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.memory:
            memory(Path(folder), tuple(arguments.memory), arguments.machine)
        else:
            windows(Path(folder))


if __name__ == "__main__":
    main()
