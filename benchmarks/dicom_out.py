"""How long a fused volume takes to write as DICOM, and what memory: all objects of a fusion.

    python benchmarks/dicom_out.py [--shape 512 512 200] [--multiframe]

Target: a 512 x 512 x 200 RGB series in less than 15 s.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from refinefuse_med.io import AtomicFolder, write_registered_series, write_secondary_capture
from refinefuse_med.io.objects.multiframe import write_multiframe_capture
from refinefuse_med.volume import Grid, make_volume
from tests.io.dicom_sources import mr_source, pet_source


def main() -> None:
    """Write, and tell how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 200))
    parser.add_argument("--multiframe", action="store_true")
    options = parser.parse_args()
    grid = Grid(tuple(options.shape), np.diag([-0.5, -0.5, 1.0, 1.0]))
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, *grid.shape), dtype=np.uint8)
    fused = make_volume(colours, grid.affine_ras)
    moving = pet_source(Grid((128, 128, 74), np.diag([-3.0, -3.0, 3.0, 1.0])))
    values = colours[0].astype(np.float32)
    functional = make_volume(values, grid.affine_ras, modality="PT", units="SUVbw", source=moving)
    source = mr_source(grid)
    before = _peak_mb()
    common = {"functional": moving, "matrix_fixed_to_moving_lps": np.eye(4)}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with AtomicFolder(Path(folder, "a")) as out:
            if options.multiframe:
                write_multiframe_capture(fused, source, out / "fused.dcm", **common)
            else:
                write_secondary_capture(fused, source, out, **common)
        seconds = time.perf_counter() - start
        print(f"fused, {'x'.join(map(str, grid.shape))}: {seconds:.1f} s")
        start = time.perf_counter()
        with AtomicFolder(Path(folder, "b")) as out:
            write_registered_series(functional, source, out, **common)
        print(f"registered PET: {time.perf_counter() - start:.1f} s")
    print(f"peak memory beyond the volumes: {_peak_mb() - before:.0f} MB")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
