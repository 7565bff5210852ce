import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from refinefuse_med.config import ColourConfig, FusionConfig, RegistrationConfig
from refinefuse_med.errors import GeometryError
from refinefuse_med.io import load_volume, write_nifti
from refinefuse_med.pipeline import fuse_pair
from refinefuse_med.transforms import (
    ColourFunctionald,
    CoRegisterd,
    FuseVolumes,
    FuseVolumesd,
    LoadVolumed,
    SaveFusedd,
)
from refinefuse_med.volume import grid_of, like


@pytest.fixture(scope="module")
def files(tmp_path_factory, head_pair):
    folder = tmp_path_factory.mktemp("scans")
    for volume, name in zip(head_pair, ("mr.nii.gz", "pet.nii.gz"), strict=True):
        write_nifti(volume, folder / name)
    return {"anatomical": folder / "mr.nii.gz", "functional": folder / "pet.nii.gz"}


def _line(method="none", **fuse):
    return Compose(
        [
            LoadVolumed(["anatomical", "functional"]),
            CoRegisterd("anatomical", "functional", method=method),
            FuseVolumesd("anatomical", "functional", "fused", **fuse),
        ]
    )


def test_the_composed_line_gives_the_voxels_of_fuse_pair(files):
    made = _line()(files)
    volumes = [load_volume(files[role], role=role) for role in ("anatomical", "functional")]
    config = FusionConfig(registration=RegistrationConfig(method="none"))
    assert torch.equal(made["fused"].as_tensor(), fuse_pair(*volumes, config).fused.as_tensor())
    assert grid_of(made["fused"]).same_as(grid_of(volumes[0]))
    assert made["functional_registration"]["method"] == "none"


def test_a_grey_result_has_one_channel(files):
    made = _line(colour=ColourConfig(colormap="none"))(files)
    assert made["fused"].shape[0] == 1
    assert made["fused"].dtype == torch.float32


def test_it_works_in_a_loader_with_workers(files):
    loader = DataLoader(Dataset([files, files], _line()), batch_size=2, num_workers=1)
    batch = next(iter(loader))
    assert batch["fused"].shape == (2, 3, 44, 50, 30)
    assert torch.equal(batch["fused"][0], batch["fused"][1])


def test_a_label_drawn_on_the_fused_grid_inverts_to_the_moving_grid(files, head_pair):
    register = CoRegisterd("anatomical", "functional", method="none")
    made = register(dict(zip(files, head_pair, strict=True)))
    label = like(made["functional"], (made["functional"] > 6).to(torch.uint8))
    label.applied_operations = made["functional"].applied_operations
    back = register.inverse({**made, "functional": label})["functional"]
    moving = head_pair[1]
    assert grid_of(back).same_as(grid_of(moving))
    want, got = (moving[0] > 6).numpy(), back[0].numpy() > 0
    assert 2 * (want & got).sum() / (want.sum() + got.sum()) > 0.9
    # The hot body lies on one side alone: a mirrored one would not overlap at all.
    assert not (want & got[::-1]).any()


def test_missing_keys_are_passed_over_only_when_allowed(files):
    only = {"anatomical": files["anatomical"]}
    allowed = LoadVolumed(["anatomical", "functional"], allow_missing_keys=True)(only)
    assert set(allowed) == {"anatomical"}
    with pytest.raises(KeyError):
        LoadVolumed(["anatomical", "functional"])(only)


def test_volumes_on_two_grids_are_refused(head_pair):
    with pytest.raises(GeometryError, match="one grid"):
        FuseVolumes()(*head_pair)


def test_colour_and_save(head_pair, tmp_path):
    made = ColourFunctionald(["pt"])({"pt": head_pair[1]})
    assert made["pt"].shape[0] == 3
    assert made["pt"].dtype == torch.uint8
    SaveFusedd(["pt"], tmp_path)(made)
    read = load_volume(tmp_path / "pt" / "fused.nii.gz")
    assert torch.equal(read.as_tensor(), made["pt"].as_tensor())
    np.testing.assert_allclose(read.affine, head_pair[1].affine, atol=1e-4)
