"""The pipeline without the batch, which `batch.py` compares with: started by that one."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from refinefuse_med.batch.plan import make_plan
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.io import load_volume
from refinefuse_med.network import RefineFuse
from refinefuse_med.output import save_result
from refinefuse_med.pipeline import fuse_pair


def main(root: Path, out: Path) -> None:
    """Fuse the pairs one after the other; print when each was done, seconds since the epoch."""
    torch.set_num_threads(1)
    config = FusionConfig(registration=RegistrationConfig(threads=1))
    output = OutputConfig(preview=True, report=True, deterministic_uids=True)
    model = RefineFuse.from_pretrained()
    ends = []
    for pair in make_plan(root).pairs:
        scans = [
            load_volume(
                scan.path, series_uid=scan.series_uid, modality=scan.modality, files=scan.files
            )
            for scan in (pair.anatomical, pair.functional)
        ]
        save_result(fuse_pair(*scans, config, model=model), out / pair.name, output)
        ends.append(time.time())
    print(json.dumps(ends))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
