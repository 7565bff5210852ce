"""The forms that MONAI users know, and the voxels of `refinefuse fuse`."""

import inspect

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flip, MapTransform, Spacingd, Transform
from monai.utils import TransformBackends

from refinefuse_med import transforms
from refinefuse_med.cli.main import cli
from refinefuse_med.config import ColourConfig
from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.grid import Grid
from refinefuse_med.io import load_volume
from refinefuse_med.registration.deformable import Deformed
from refinefuse_med.registration.deformation import lattice_over
from refinefuse_med.registration.metric import PointMeasure
from refinefuse_med.transforms import (
    ColourFunctional,
    ColourFunctionald,
    CoRegister,
    CoRegisterd,
    FuseVolumes,
    FuseVolumesd,
    LoadVolumed,
    PrepareFusion,
    SaveFused,
    SaveFusedd,
)
from refinefuse_med.volume import grid_of

STEMS = ("LoadVolume", "CoRegister", "ColourFunctional", "FuseVolumes", "SaveFused")


def _line(method="none", **fuse):
    return Compose(
        [
            LoadVolumed(["anatomical", "functional"]),
            CoRegisterd("anatomical", "functional", method=method),
            FuseVolumesd("anatomical", "functional", "fused", **fuse),
        ]
    )


@pytest.mark.parametrize("stem", STEMS)
def test_each_has_an_array_and_a_dictionary_form_with_its_aliases_and_backend(stem):
    array, dictionary = getattr(transforms, stem), getattr(transforms, stem + "d")
    assert issubclass(array, Transform)
    assert issubclass(dictionary, MapTransform)
    assert getattr(transforms, stem + "D") is getattr(transforms, stem + "Dict") is dictionary
    assert "allow_missing_keys" in inspect.signature(dictionary).parameters
    assert array.backend == dictionary.backend
    assert set(array.backend) <= set(TransformBackends)


@pytest.mark.parametrize("plane", ["axial", "triplanar"])
def test_composed_transforms_give_the_bytes_of_refinefuse_fuse(files, tmp_path, plane):
    made = _line(engine={"plane": plane})(files)
    SaveFusedd(["fused", "functional"], tmp_path / "transforms")(made)
    paths = [str(files[role]) for role in ("anatomical", "functional")]
    options = ["-o", str(tmp_path / "cli"), "--register", "none", "--plane", plane, "-q"]
    cli(["fuse", *paths, *options], standalone_mode=False)
    for ours, theirs in (("fused", "fused"), ("functional", "functional_registered")):
        mine = nib.load(tmp_path / "transforms" / f"{ours}.nii.gz")
        other = nib.load(tmp_path / "cli" / f"{theirs}.nii.gz")
        assert np.array_equal(np.asanyarray(mine.dataobj), np.asanyarray(other.dataobj))
        assert np.array_equal(mine.affine, other.affine)


def test_array_and_dictionary_forms_give_the_same_voxels(files):
    made = _line()(files)
    fixed, moving = (load_volume(files[role]) for role in ("anatomical", "functional"))
    pair = CoRegister("none")(fixed, moving)
    fused = FuseVolumes()(fixed, pair.registered, pair.field_of_view)
    assert torch.equal(made["fused"].as_tensor(), fused.as_tensor())
    assert grid_of(made["fused"]).same_as(grid_of(fixed))
    assert torch.equal(made["functional_field_of_view"][0].bool().as_tensor(), pair.field_of_view)


def test_the_registration_is_told_in_a_form_that_collates(files):
    told = _line()(files)["functional_registration"]
    assert (told["method"], told["verdict"]) == ("none", "ok")
    assert told["quality"]["overlap"] > 0.9
    assert np.isnan(told["quality"]["disagreement_mm"])
    assert torch.equal(told["matrix_fixed_to_moving_lps"], torch.eye(4, dtype=torch.float64))
    assert "frame of reference" in told["warnings"]


def measures_of_a_deformation() -> dict[str, float]:
    grid = Grid((8, 8, 8), np.eye(4))
    measure = PointMeasure(0.5, 1.0, np.zeros((3, 1)))
    made = Deformed(lattice_over(grid, 30), measure, measure, (0.5, 1.5), 8.0, 20.0, 0.5)
    return made.measures()


def test_every_method_tells_the_same_measures(head_pair, files):
    data = dict(zip(files, head_pair, strict=True))
    rigid = CoRegisterd("anatomical", "functional", method="rigid")(data)["functional_registration"]
    missing = {name for name, value in rigid["quality"].items() if np.isnan(value)}
    assert missing == set(measures_of_a_deformation())
    as_is = _line()(files)["functional_registration"]
    assert set(rigid["quality"]) == set(as_is["quality"])


def test_a_grey_result_has_one_channel(files):
    made = _line(colour=ColourConfig(colormap="none"))(files)
    assert made["fused"].shape[0] == 1
    assert made["fused"].dtype == torch.float32


def test_the_contribution_adds_up_to_the_fused_luminance(files):
    made = _line(colour={"colormap": "none"}, contribution_key="parts")(files)
    assert made["parts"].shape[0] == 2
    assert grid_of(made["parts"]).same_as(grid_of(made["fused"]))
    torch.testing.assert_close(
        made["parts"].as_tensor().sum(0), made["fused"].as_tensor()[0], atol=1e-6, rtol=0
    )


def test_lazy_pipelines_resample_before_a_step_that_looks_at_voxels(files):
    def line():
        return [
            LoadVolumed(["anatomical", "functional"]),
            Spacingd(["anatomical"], (6.0, 5.0, 7.0)),
            CoRegisterd("anatomical", "functional", method="none"),
            FuseVolumesd("anatomical", "functional", "fused"),
            Spacingd(["fused"], (8.0, 8.0, 8.0), dtype=torch.float32),
        ]

    eager, lazy = Compose(line())(files), Compose(line(), lazy=True)(files)
    assert not lazy["fused"].pending_operations
    assert lazy["fused"].shape == eager["fused"].shape
    # MONAI resamples in single precision where it is lazy.
    apart = (lazy["fused"] - eager["fused"]).abs().as_tensor()
    assert float(apart.mean()) < 0.1
    assert float(apart.max()) < 8
    np.testing.assert_allclose(lazy["fused"].affine, eager["fused"].affine)


def test_missing_keys_are_passed_over_only_when_allowed(files):
    only = {"anatomical": load_volume(files["anatomical"])}
    for transform in (CoRegisterd, FuseVolumesd):
        assert set(transform("anatomical", "pet", allow_missing_keys=True)(only)) == set(only)
        with pytest.raises(KeyError):
            transform("anatomical", "pet")(only)
    paths = {"anatomical": files["anatomical"]}
    loaded = LoadVolumed(["anatomical", "functional"], allow_missing_keys=True)(paths)
    assert set(loaded) == {"anatomical"}
    with pytest.raises(KeyError):
        LoadVolumed(["anatomical", "functional"])(paths)


def test_each_key_may_have_a_modality_of_its_own(files):
    data = {"t1": files["anatomical"], "uptake": files["functional"]}
    loaded = LoadVolumed(["t1", "uptake"], modality=["MR", "NM"])(data)
    assert [loaded[key].meta["modality"] for key in data] == ["MR", "NM"]


def test_volumes_on_two_grids_are_refused(head_pair):
    with pytest.raises(GeometryError, match="one grid"):
        FuseVolumes()(*head_pair)


@pytest.mark.parametrize("transform", [ColourFunctional(), lambda x: FuseVolumes()(x, x)])
def test_a_tensor_without_geometry_is_refused(transform):
    with pytest.raises(InputError, match="says nothing of where its voxels lie"):
        transform(torch.rand(1, 4, 4, 4))


def test_what_was_applied_before_is_remembered(head_pair):
    spaced = Spacingd(["pt"], (6.0, 6.0, 6.0))({"pt": head_pair[1]})
    coloured = ColourFunctionald(["pt"])(spaced)["pt"]
    assert isinstance(coloured, MetaTensor)
    assert [op["class"] for op in coloured.applied_operations] == ["SpatialResample"]


def test_colour_and_save(head_pair, tmp_path):
    made = ColourFunctionald(["pt"])({"pt": head_pair[1], "case": "a"})
    assert made["pt"].shape[0] == 3
    assert made["pt"].dtype == torch.uint8
    SaveFusedd(["pt"], tmp_path, name_key="case")(made)
    read = load_volume(tmp_path / "a" / "pt.nii.gz")
    assert torch.equal(read.as_tensor(), made["pt"].as_tensor())
    np.testing.assert_allclose(read.affine, head_pair[1].affine, atol=1e-4)


def test_a_folder_that_is_there_may_be_skipped(head_pair, tmp_path):
    picture = ColourFunctional()(head_pair[1])
    SaveFused(tmp_path, "dicom")(picture, "case")
    before = sorted(tmp_path.rglob("*.dcm"))
    assert len(before) == picture.shape[-1]
    assert SaveFused(tmp_path, "nifti", "skip")(picture, "case") is picture
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == before


def test_each_key_may_name_its_volume_of_several(tmp_path, oblique):
    frames = np.stack([np.full((6, 7, 5), value, np.float32) for value in (1.0, 2.0)], axis=-1)
    frames[0, 0, 0] = 0
    nib.save(nib.Nifti1Image(frames, oblique), tmp_path / "frames.nii")
    load = LoadVolumed(["first", "second"], series_uid=["#1", "#2"])
    loaded = load({"first": tmp_path / "frames.nii", "second": tmp_path / "frames.nii"})
    assert [float(loaded[key].max()) for key in ("first", "second")] == [1.0, 2.0]


@pytest.mark.parametrize("transform", [FuseVolumes(engine={"device": "cpu"}), PrepareFusion()])
def test_what_is_pending_is_done_and_stays_pending_in_the_users_volume(head_pair, transform):
    anatomical, functional = head_pair
    functional = CoRegister(method="none")(anatomical, functional).registered
    turned = [Flip(spatial_axis=0, lazy=False)(volume) for volume in (anatomical, functional)]
    lazy = [Flip(spatial_axis=0, lazy=True)(volume) for volume in (anatomical, functional)]
    expected, found = transform(*turned), transform(*lazy)
    if isinstance(expected, tuple):
        expected, found = expected[0], found[0]
    assert torch.equal(found.as_tensor(), expected.as_tensor())
    np.testing.assert_allclose(found.affine, expected.affine)
    assert [len(volume.pending_operations) for volume in lazy] == [1, 1]


def test_gradients_end_at_a_transform(head_pair):
    anatomical, functional = head_pair
    functional = CoRegister(method="none")(anatomical, functional).registered
    fuse = FuseVolumes(engine={"device": "cpu"})
    expected = fuse(anatomical, functional)
    result = fuse(*(v.clone().requires_grad_() for v in (anatomical, functional)))
    assert torch.equal(result.as_tensor(), expected.as_tensor())
    assert not result.requires_grad
