"""Fusion as the first step of a MONAI segmentation pipeline.

    python examples/fusion_before_segmentation.py MR PET -o out

Two scans are registered and fused; a network segments the fused colours; its labels are brought
back to the grid of the fused volume and to that of the PET, and written. The network here is an
untrained UNet, so the labels mean nothing: put your own in its place.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from monai.transforms import AsDiscrete, Compose, Invertd, ScaleIntensityRanged, Spacingd

from refinefuse_med.io import write_nifti
from refinefuse_med.transforms import CoRegisterd, FuseVolumesd, LoadVolumed


def fusion_line(register: str, spacing_mm: tuple[float, float, float]) -> Compose:
    """From two paths to the fused volume, in the spacing and range that a network wants."""
    return Compose(
        [
            LoadVolumed(["anatomical", "functional"]),
            CoRegisterd("anatomical", "functional", method=register),
            FuseVolumesd("anatomical", "functional", "fused"),
            Spacingd("fused", spacing_mm, dtype=torch.float32),
            ScaleIntensityRanged("fused", a_min=0, a_max=255, b_min=0, b_max=1),
        ]
    )


@torch.inference_mode()
def segment(files: list[dict[str, Path]], line: Compose, network: torch.nn.Module) -> list[dict]:
    """Fuse and segment each pair; ``label`` lies on the fused grid, ``label_pet`` on the PET's."""
    loader = DataLoader(Dataset(files, line), batch_size=1)
    infer = SlidingWindowInferer(roi_size=(32, 32, 32), sw_batch_size=2, overlap=0.25)
    to_label = AsDiscrete(argmax=True)
    to_fused_grid = Invertd("label", line, orig_keys="fused")
    to_pet_grid = Invertd("label_pet", line, orig_keys="functional")
    done = []
    for batch in loader:
        batch["label"] = infer(batch["fused"], network)
        for item in decollate_batch(batch):
            item["label"] = to_label(item["label"])
            item = to_fused_grid(item)
            item["label_pet"] = item["label"].clone()
            done.append(to_pet_grid(item))
    return done


@click.command()
@click.argument("anatomical", type=click.Path(exists=True, path_type=Path))
@click.argument("functional", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
@click.option("--register", default="auto", show_default=True)
def main(anatomical: Path, functional: Path, out: Path, register: str) -> None:
    """Fuse, segment, and write both labels."""
    torch.manual_seed(0)
    network = UNet(3, in_channels=3, out_channels=2, channels=(8, 16, 32), strides=(2, 2)).eval()
    line = fusion_line(register, (2.0, 2.0, 2.0))
    (item,) = segment([{"anatomical": anatomical, "functional": functional}], line, network)
    out.mkdir(parents=True)
    for key in ("label", "label_pet"):
        write_nifti(item[key], out / f"{key}.nii.gz")


if __name__ == "__main__":
    main()
