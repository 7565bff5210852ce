"""What is learnt from: pairs split by patient, batches, variations, simulations."""

from pathlib import Path

import numpy as np
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.training.augment import augment_pair, random_crop
from refinefuse_med.training.batches import BatchSource
from refinefuse_med.training.config import (
    AugmentConfig,
    DataConfig,
    FinishConfig,
    TrainingConfig,
)
from refinefuse_med.training.pairs import find_pairs, split_by_case
from refinefuse_med.training.simulated import TemplateSlices, simulate_pair

PLAIN = AugmentConfig(gamma=0, gain=0, shift_chance=0, noise_chance=0, cut_chance=0)


def test_a_patient_held_out_is_held_out_of_every_modality(recipe: TrainingConfig) -> None:
    training, validation = split_by_case(find_pairs(recipe.data), recipe.data.validation_cases)
    assert {pair.case for pair in validation} == {41}
    assert {pair.modality for pair in validation} == {"MRI-CT", "MRI-PET"}
    assert 41 not in {pair.case for pair in training}
    assert len(training) == len(validation) == 4


def test_colour_is_taken_by_its_luminance(recipe: TrainingConfig) -> None:
    pair = next(pair for pair in find_pairs(recipe.data) if pair.modality == "MRI-PET")
    _, functional = pair.load()
    assert functional.shape == (48, 48)
    assert functional.max() == round(0.299 * 255 + 0.587 * 127)


def test_a_picture_without_partner_is_refused(recipe: TrainingConfig, pictures: Path) -> None:
    (pictures / "MRI-CT" / "CT" / "2007.png").unlink()
    with pytest.raises(InputError, match="no partner"):
        find_pairs(recipe.data)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training pictures"):
        find_pairs(DataConfig(root=tmp_path))


def test_holding_everyone_out_is_refused(recipe: TrainingConfig) -> None:
    with pytest.raises(InputError, match="nothing to train on"):
        BatchSource(recipe, [])


def test_a_batch_depends_on_its_step_alone(recipe: TrainingConfig) -> None:
    pairs = find_pairs(recipe.data)
    source, again = BatchSource(recipe, pairs), BatchSource(recipe, pairs)
    source(0)
    np.testing.assert_array_equal(source(5)[0], again(5)[0])
    assert not np.array_equal(source(5)[0], source(6)[0])
    a, f = source(3)
    assert a.shape == f.shape == (2, 1, 32, 32)
    assert 0.0 <= float(a.min()) <= float(a.max()) <= 1.0


def test_geometry_is_varied_alike_in_both() -> None:
    picture = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    for seed in range(8):
        a, f = augment_pair(picture, 0.5 * picture, PLAIN, np.random.default_rng(seed))
        np.testing.assert_allclose(f, 0.5 * a, atol=1e-6)


def test_black_stays_black_without_noise() -> None:
    black = np.zeros((16, 16), np.float32)
    for seed in range(8):
        a, f = augment_pair(
            black, black, AugmentConfig(noise_chance=0), np.random.default_rng(seed)
        )
        assert not a.any()
        assert not f.any()


def test_a_picture_smaller_than_the_crop_is_padded() -> None:
    small = np.ones((10, 40), np.float32)
    a, f = random_crop(small, small, 32, np.random.default_rng(0))
    assert a.shape == f.shape == (32, 32)
    assert a.sum() == 320


def test_a_simulated_lesion_is_seen_by_one_modality_alone() -> None:
    rows, columns = np.mgrid[-32:32, -32:32]
    t1 = (np.hypot(rows, columns) < 25).astype(np.float32)[None]
    templates = TemplateSlices(t1=t1, grey=0.6 * t1, white=0.4 * t1)
    a, f = simulate_pair(templates, np.random.default_rng(3))
    assert a.shape == f.shape == (64, 64)
    assert a.dtype == f.dtype == np.float32
    assert 0.0 <= min(a.min(), f.min()) <= max(a.max(), f.max()) <= 1.0


def test_templates_of_nilearn_are_brains() -> None:
    pytest.importorskip("nilearn")
    templates = TemplateSlices.load()
    assert templates.t1.shape[1:] == (256, 256)
    assert float((templates.grey + templates.white).max()) <= 1.01
    assert 0.05 < float((templates.t1 > 0.05).mean()) < 0.5


def test_shares_say_how_often_a_modality_is_drawn(recipe: TrainingConfig) -> None:
    data = recipe.data.model_copy(update={"validation_cases": (), "shares": (3.0, 1.0)})
    source = BatchSource(recipe.model_copy(update={"data": data}), find_pairs(data))
    np.testing.assert_allclose(source._chances, [0.75, 0.25])


def test_twins_differ_by_a_lesion_in_one_source_alone(recipe: TrainingConfig) -> None:
    still = AugmentConfig(shift_chance=0, noise_chance=0, cut_chance=0)
    data = recipe.data.model_copy(update={"twins": 1})
    config = recipe.model_copy(update={"data": data, "augment": still, "batch_size": 3})
    source = BatchSource(config, find_pairs(data))
    sources_changed = set()
    for step in range(12):
        a, f = source(step)
        assert len(a) == 3
        changed = tuple(bool((x[0] != x[-1]).any()) for x in (a, f))
        assert sum(changed) <= 1
        sources_changed.add(changed)
        assert 0 <= float(min(a.min(), f.min())) <= float(max(a.max(), f.max())) <= 1
    assert {(True, False), (False, True)} <= sources_changed


def test_the_last_steps_draw_with_the_variation_of_the_finish(recipe: TrainingConfig) -> None:
    data = recipe.data.model_copy(update={"simulated": 0.0})
    noisy = AugmentConfig(gamma=0, gain=0, shift_chance=0, noise=0.2, noise_chance=1, cut_chance=0)
    finish = FinishConfig(share=0.25, simulated=0.0, augment=PLAIN)
    config = recipe.model_copy(
        update={"data": data, "augment": noisy, "finish": finish, "steps": 8}
    )
    source = BatchSource(config, find_pairs(data))

    def in_grey_values(step: int) -> bool:
        grey = 255 * source(step)[0].numpy()
        return bool(np.allclose(grey, np.rint(grey), atol=1e-3))

    assert [in_grey_values(step) for step in range(8)] == [False] * 6 + [True] * 2
