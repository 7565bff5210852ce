"""The weights in the package: whole, and better than the pixel maximum on patients held out."""

from pathlib import Path

import pytest
import torch

from refinefuse_med.network import DEFAULT_WEIGHTS, RefineFuse, weights_info
from refinefuse_med.training.config import DataConfig
from refinefuse_med.training.pairs import SlicePair, find_pairs, split_by_case
from refinefuse_med.training.validation import Scores, pixel_maximum, validate

FEW = 12
"""One slice of so many is measured here."""


@pytest.fixture(scope="module")
def model() -> RefineFuse:
    return RefineFuse.from_pretrained()


@pytest.fixture(scope="module")
def held_out(shared_data: Path) -> list[SlicePair]:
    cases = weights_info().manifest["training"]["recipe"]["data"]["validation_cases"]
    config = DataConfig(root=shared_data / "fusion_train")
    return split_by_case(find_pairs(config), cases)[1][::FEW]


@pytest.fixture(scope="module")
def scores(model: RefineFuse, held_out: list[SlicePair]) -> Scores:
    return validate(model, held_out)


@pytest.fixture(scope="module")
def rival(held_out: list[SlicePair]) -> Scores:
    return validate(pixel_maximum, held_out)


def test_the_manifest_is_complete() -> None:
    info = weights_info()
    assert info.name == DEFAULT_WEIGHTS
    assert info.manifest["licence"]
    assert info.manifest["training"]["steps"] == info.manifest["training"]["recipe"]["steps"]


def test_what_only_one_modality_shows_is_kept(model: RefineFuse) -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    anatomical = 0.4 * (torch.hypot(rows - 32, columns - 32) < 26).float()
    lesion = (torch.hypot(rows - 24, columns - 38) < 4).float()
    a, f = anatomical[None, None], (0.2 * anatomical + 0.7 * lesion)[None, None]
    fused = model(a, f)[0, 0]
    inside, around = lesion.bool(), (anatomical > 0) & ~lesion.bool()
    assert float(fused[inside].mean()) > float(fused[around].mean()) + 0.2


@pytest.mark.parametrize("metric", ["AG", "EN", "SCD", "Qabf"])
def test_it_beats_the_pixel_maximum(scores: Scores, rival: Scores, metric: str) -> None:
    for modality, row in scores.items():
        assert row[metric] > rival[modality][metric], modality


def test_both_sources_correlate_with_what_they_add(scores: Scores) -> None:
    assert scores["MRI-CT"]["SCD"] >= 1.45
    assert scores["MRI-PET"]["SCD"] >= 1.60
    assert scores["MRI-SPECT"]["SCD"] >= 1.50


def test_it_keeps_structure_as_well_as_the_pixel_maximum(scores: Scores, rival: Scores) -> None:
    for modality, row in scores.items():
        assert row["SSIM"] >= 0.97 * rival[modality]["SSIM"], modality
