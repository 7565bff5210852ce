"""Transforms that are known already: label maps, deformations, and the files they are kept in."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from refinefuse_med.applying import apply_transform, is_label_map
from refinefuse_med.config import FusionConfig, OutputConfig, RegistrationConfig
from refinefuse_med.errors import GeometryError, InputError
from refinefuse_med.io import read_itk_transform
from refinefuse_med.output import save_registration
from refinefuse_med.pipeline import fuse_pair, register_pair
from refinefuse_med.registration import Deformation, register
from refinefuse_med.registration.deformation import lattice_over
from refinefuse_med.transforms import CoRegister
from refinefuse_med.volume import grid_of, like, make_volume


@pytest.fixture(scope="module")
def bent(head_pair):
    """A registration with a deformation, such as ``deformable`` gives."""
    fixed, moving = head_pair
    lattice = lattice_over(grid_of(fixed), 60)
    values = np.random.default_rng(2).normal(size=lattice.coefficients.shape) * 12
    as_is = register(fixed, moving, RegistrationConfig(method="none"))
    matrix = np.eye(4)
    matrix[:3, 3] = (4, -6, 3)
    return dataclasses.replace(
        as_is,
        method="deformable",
        matrix_fixed_to_moving_lps=matrix,
        deformation=Deformation(values, lattice.lattice_lps),
    )


def test_a_deformation_is_saved_whole_in_two_files_that_agree(bent, head_pair, tmp_path):
    fixed, moving = head_pair
    pair = register_pair(fixed, moving, known=bent)
    out = save_registration(pair, tmp_path / "out", OutputConfig())
    assert {p.name for p in out.iterdir()} == {
        "displacement.nii.gz", "moving_registered.nii.gz", "result.json", "transform.tfm",
    }  # fmt: skip
    transform = read_itk_transform(out / "transform.tfm")
    # ITK turns the RAS vectors of the file into its own LPS.
    image = sitk.ReadImage(str(out / "displacement.nii.gz"), sitk.sitkVectorFloat64)
    field = sitk.DisplacementFieldTransform(image)
    grid = grid_of(fixed)
    rng = np.random.default_rng(0)
    for index in rng.integers(1, np.array(grid.shape) - 1, size=(40, 3)):
        point = grid.affine_lps[:3, :3] @ index + grid.affine_lps[:3, 3]
        moved = bent.deformation.displacement(point[:, None])[:, 0] + point + (4, -6, 3)
        np.testing.assert_allclose(transform.TransformPoint(point.tolist()), moved, atol=1e-6)
        np.testing.assert_allclose(field.TransformPoint(point.tolist()), moved, atol=1e-3)
    # Taken through the file, the scan comes to lie as the registration has put it.
    again = apply_transform(fixed, [moving], transform)
    torch.testing.assert_close(
        again.volumes[0].as_tensor(), pair.registered.as_tensor(), atol=1e-4, rtol=0
    )
    assert again.record["registration"]["matrix_fixed_to_moving_lps"] is None
    json.dumps(again.record, allow_nan=False)


def test_a_fusion_writes_its_deformation(bent, head_pair, tmp_path):
    result = fuse_pair(*head_pair, FusionConfig(), known=bent)
    out = result.save(tmp_path / "out", format="nifti")
    assert "displacement.nii.gz" in json.loads((out / "result.json").read_text())["outputs"]
    assert not read_itk_transform(out / "transform.tfm").IsLinear()


def test_its_inverse_brings_a_label_back(bent, head_pair, monkeypatch):
    fixed, moving = head_pair
    monkeypatch.setattr(
        "refinefuse_med.transforms.register.register_pair",
        lambda fixed, moving, config: register_pair(fixed, moving, config, known=bent),
    )
    transform = CoRegister("deformable")
    pair = transform(fixed, moving)
    drawn = like(pair.registered, (pair.registered.as_tensor() > 5).float())
    drawn.applied_operations = pair.registered.applied_operations
    back = transform.inverse(drawn)
    assert grid_of(back).same_as(grid_of(moving))
    hot = (moving.as_tensor() > 5).float()
    both = (back.as_tensor() * hot).sum()
    dice = float(2 * both / (back.as_tensor().sum() + hot.sum()))
    assert hot.sum() > 50
    assert dice > 0.85


def _ball(radius: float, shape=(24, 20, 18)) -> np.ndarray:
    middle = (np.array(shape)[:, None, None, None] - 1) / 2
    return (np.linalg.norm(np.indices(shape) - middle, axis=0) < radius).astype(np.float32)


PICTURES = {
    "noise": np.random.default_rng(0).integers(0, 255, (20, 20, 20)),
    "smooth": np.round(200 * np.exp(-((np.indices((20, 20, 20)) - 10.0)[0] ** 2) / 90))
    + np.random.default_rng(0).integers(0, 9, (20, 20, 20)),
    "negative": -_ball(6),
    "halves": _ball(6) / 2,
    "empty": np.zeros((8, 8, 8)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_no_label_map(name):
    assert not is_label_map(make_volume(np.asarray(PICTURES[name], np.float32), np.eye(4)))


def test_a_label_map_is_known_by_its_areas(oblique):
    assert is_label_map(make_volume(17 * _ball(7) + 3 * _ball(4), oblique))
    assert is_label_map(make_volume(_ball(2), oblique))


def test_labels_can_be_told(head_pair):
    fixed, moving = head_pair
    drawn = like(moving, (moving.as_tensor() > 1).float() * 300)
    nearest = apply_transform(fixed, [drawn], np.eye(4), labels=True).volumes[0]
    linear = apply_transform(fixed, [drawn], np.eye(4), labels=False).volumes[0]
    assert nearest.dtype == torch.int16
    assert set(nearest.unique().tolist()) == {0, 300}
    assert linear.is_floating_point()
    assert len(linear.unique()) > 50


def test_what_cannot_be_brought_is_refused(head_pair):
    fixed, moving = head_pair
    far = np.eye(4)
    far[:3, 3] = 900
    with pytest.raises(GeometryError, match="wholly outside"):
        apply_transform(fixed, [moving], far)
    broken = like(moving, torch.full_like(moving.as_tensor(), float("nan")))
    with pytest.raises(InputError, match="NaN"):
        apply_transform(fixed, [broken], np.eye(4))
