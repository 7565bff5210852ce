"""What is drawn on the fused grid comes back to the moving grid, at its place."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd, Spacingd

from refinefuse_med.transforms import CoRegister, CoRegisterd, FuseVolumesd, LoadVolumed
from refinefuse_med.volume import Keys, get_meta, grid_of, like, with_frame_of_reference

HALF_LPS = np.array([18.0, -25.0, 14.0])


def _inside(lps: np.ndarray) -> np.ndarray:
    """An ellipsoid without symmetry about any axis of the world, in LPS mm, on the last axis."""
    return (((lps - HALF_LPS) / (30, 22, 26)) ** 2).sum(-1) < 1


def _places(grid) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    return index @ grid.affine_lps[:3, :3].T + grid.affine_lps[:3, 3]


def _dice(a, b) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture
def drawn(head_pair, known_pose):
    """A label on the oblique fixed grid, and what it is on moving's flipped one."""
    fixed, moving = head_pair
    fixed_lps = _places(grid_of(moving))
    back = np.linalg.inv(known_pose)
    want = _inside(fixed_lps @ back[:3, :3].T + back[:3, 3])
    return _inside(_places(grid_of(fixed))), want


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_a_label_on_the_fixed_grid_comes_back_to_its_place(head_pair, drawn, dtype):
    label, want = drawn
    register = CoRegister()
    registered = register(*head_pair).registered
    drawing = like(registered, torch.from_numpy(label).to(torch.uint8)).to(dtype)
    drawing.applied_operations = registered.applied_operations
    back = register.inverse(drawing)
    assert grid_of(back).same_as(grid_of(head_pair[1]))
    assert back.dtype == dtype
    assert back.applied_operations == []
    got = back[0].as_tensor().numpy() > 0
    assert _dice(got, want) > 0.93
    for axis in range(3):
        assert _dice(np.flip(got, axis), want) < 0.6


def test_what_is_inverted_lies_in_the_frame_of_reference_of_its_grid(head_pair, drawn):
    fixed, moving = (
        with_frame_of_reference(like(volume, volume.as_tensor()), uid)
        for volume, uid in zip(head_pair, ("1.2", "1.3"), strict=True)
    )
    register = CoRegister()
    registered = register(fixed, moving).registered
    assert get_meta(registered, Keys.FRAME_OF_REFERENCE_UID) == "1.2"
    drawing = like(fixed, torch.from_numpy(drawn[0]).to(torch.uint8))
    drawing.applied_operations = registered.applied_operations
    assert get_meta(register.inverse(drawing), Keys.FRAME_OF_REFERENCE_UID) == "1.3"


def test_several_channels_and_label_values_survive(head_pair, drawn):
    register = CoRegister()
    registered = register(*head_pair).registered
    label = torch.from_numpy(drawn[0]).to(torch.uint8)
    drawing = like(registered, torch.stack([label * 3, label * 200]))
    drawing.applied_operations = registered.applied_operations
    back = register.inverse(drawing).as_tensor()
    assert [sorted(channel.unique().tolist()) for channel in back] == [[0, 3], [0, 200]]


def test_values_come_back_by_linear_interpolation(head_pair, known_pose):
    data = dict(zip(("a", "f"), head_pair, strict=True))
    register = CoRegisterd("a", "f")
    made = register(data)
    back = register.inverse(made)["f"]
    assert grid_of(back).same_as(grid_of(head_pair[1]))
    inside = head_pair[1] > 1
    apart = (back - head_pair[1])[inside].abs().as_tensor()
    assert float(apart.median()) < 0.1  # of 2 to 10
    assert len(made["f"].applied_operations) == 1, "inverting a copy leaves the original as it was"


def test_invertd_brings_a_batched_prediction_back_through_the_whole_line(files, drawn):
    line = Compose(
        [
            LoadVolumed(["anatomical", "functional"]),
            Spacingd(["functional"], (4.0, 6.0, 5.0)),
            CoRegisterd("anatomical", "functional"),
            FuseVolumesd("anatomical", "functional", "fused"),
        ]
    )
    loader = DataLoader(Dataset([files, files], line), batch_size=2, num_workers=0)
    batch = next(iter(loader))
    label = torch.from_numpy(drawn[0])[None, None].float()
    batch["pred"] = MetaTensor(label.expand(2, -1, -1, -1, -1), affine=batch["fused"].affine)
    items = [Invertd("pred", line, orig_keys="functional")(item) for item in decollate_batch(batch)]
    for item in items:
        back = item["pred"]
        assert back.shape[1:] == drawn[1].shape
        assert set(back.unique().tolist()) <= {0.0, 1.0}, "labels are taken from the nearest voxel"
        assert _dice(back[0].numpy() > 0, drawn[1]) > 0.8  # two resamplings by nearest


def test_a_label_on_the_fused_volume_also_inverts_to_the_anatomical_grid(files, known_pose):
    line = Compose(
        [
            LoadVolumed(["anatomical", "functional"]),
            Spacingd(["anatomical"], (6.0, 6.0, 6.0)),
            CoRegisterd("anatomical", "functional"),
            FuseVolumesd("anatomical", "functional", "fused"),
        ]
    )
    made = line(files)
    made["label"] = (made["fused"][:1] > 100).to(torch.uint8)
    back = Invertd("label", line, orig_keys="anatomical")(made)["label"]
    assert grid_of(back).same_as(grid_of(LoadVolumed("anatomical")(files)["anatomical"]))
