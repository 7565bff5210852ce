"""Fusion before a segmentation network: the example runs, and its labels lie where they should."""

import runpy
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from refinefuse_med.io import load_volume
from refinefuse_med.volume import grid_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fusion_before_segmentation.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


class Bright(torch.nn.Module):
    """Stands in for a trained network: the foreground is what is bright and coloured."""

    def forward(self, image):
        hot = image[:, :1] - image[:, 2:]
        return torch.cat([torch.full_like(hot, 0.2), hot], dim=1)


def test_labels_come_back_to_both_grids(example, files):
    line = example["fusion_line"]("none", (5.0, 5.0, 5.0))
    (item,) = example["segment"]([files], line, Bright())
    assert grid_of(item["label"]).same_as(grid_of(load_volume(files["anatomical"])))
    pet = load_volume(files["functional"])
    assert grid_of(item["label_pet"]).same_as(grid_of(pet))
    label, patient = item["label_pet"].as_tensor()[0] > 0, pet.as_tensor()[0] > 1
    assert 2 * int((label & patient).sum()) / int(label.sum() + patient.sum()) > 0.85


def test_a_real_network_runs(example, files):
    network = UNet(3, in_channels=3, out_channels=2, channels=(4, 8), strides=(2,)).eval()
    line = example["fusion_line"]("none", (6.0, 6.0, 6.0))
    (item,) = example["segment"]([files], line, network)
    assert set(item["label"].unique().tolist()) <= {0.0, 1.0}
