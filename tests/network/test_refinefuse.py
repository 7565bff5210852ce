"""What the network promises by construction, whatever its weights."""

import pytest
import torch

from refinefuse_med.network import Architecture, RefineFuse
from refinefuse_med.network.dual_attention import DualAttentionInteraction
from refinefuse_med.network.encoder import TwoStreamEncoder
from refinefuse_med.network.global_attention import CrossModalAttention
from refinefuse_med.network.progressive_refinement import ProgressiveRefinement

SMALL = Architecture(widths=(4, 8, 8), heads=2, key_grid=4)


@pytest.fixture
def model() -> RefineFuse:
    torch.manual_seed(0)
    network = RefineFuse(SMALL).eval().requires_grad_(False)
    # Far from its cautious start, as training may leave it.
    network.head.predict.weight.mul_(30.0)
    return network


def pictures(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 30), (64, 64)])
def test_any_size_goes_in_and_comes_out(model: RefineFuse, size: tuple[int, int]) -> None:
    a, f = pictures(2, 1, *size)
    fused = model(a, f)
    assert fused.shape == a.shape
    assert bool(torch.isfinite(fused).all())
    assert 0.0 <= float(fused.min()) <= float(fused.max()) <= 1.0


def test_two_equal_pictures_fuse_into_themselves(model: RefineFuse) -> None:
    a, _ = pictures(1, 1, 40, 52)
    torch.testing.assert_close(model(a, a), a, atol=1e-6, rtol=0)


def test_black_in_both_is_exactly_black(model: RefineFuse) -> None:
    a, f = pictures(1, 1, 32, 32)
    a[..., :16], f[..., :16] = 0.0, 0.0
    assert bool((model(a, f)[..., :16] == 0).all())


def test_contributions_add_up_to_the_fused_picture(model: RefineFuse) -> None:
    a, f = (x.sqrt() for x in pictures(2, 1, 33, 21))
    fused, contribution = model.with_contribution(a, f)
    assert bool((model.parts(a, f).sum(dim=1) > 1).any()), "nothing was limited: a weak test"
    torch.testing.assert_close(contribution.sum(dim=1, keepdim=True), fused, atol=1e-6, rtol=0)
    torch.testing.assert_close(fused, model(a, f))
    assert float(contribution.min()) >= 0.0


def test_a_source_that_is_black_contributes_nothing(model: RefineFuse) -> None:
    a, _ = pictures(1, 1, 24, 24)
    _, contribution = model.with_contribution(a, torch.zeros_like(a))
    assert bool((contribution[:, 1] == 0).all())


def test_a_sample_does_not_depend_on_its_batch(model: RefineFuse) -> None:
    a, f = pictures(3, 1, 32, 40)
    together = model(a, f)
    for n in range(3):
        alone = model(a[n : n + 1], f[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-5, rtol=0)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = RefineFuse()
    a, f = pictures(2, 1, 64, 64)
    (network.parts(a, f).sum(dim=1, keepdim=True) * a).mean().backward()
    lame = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert lame == []


def test_nothing_in_it_looks_across_samples() -> None:
    kinds = (torch.nn.modules.batchnorm._NormBase, torch.nn.Dropout)
    assert not any(isinstance(module, kinds) for module in RefineFuse().modules())


def test_the_default_network_is_within_its_budget() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = RefineFuse()
    a, f = pictures(1, 1, 256, 256)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(a, f)
    assert counter.get_total_flops() / 2 <= 6e9
    assert sum(p.numel() for p in network.parameters()) < 1.5e6


def test_the_encoder_halves_the_size_from_scale_to_scale() -> None:
    features = TwoStreamEncoder((4, 6, 8))(*pictures(1, 1, 16, 24))
    assert [tuple(a.shape) for a, _ in features] == [(1, 4, 16, 24), (1, 6, 8, 12), (1, 8, 4, 6)]
    assert all(a.shape == f.shape for a, f in features)


def test_dual_attention_weighs_each_modality_by_the_other() -> None:
    torch.manual_seed(0)
    attend = DualAttentionInteraction(4)
    a, f = pictures(1, 4, 8, 8)
    merged = attend(a, f)
    assert merged.shape == a.shape
    # Were each weighted by itself alone, the effects of both would simply add up.
    zero = torch.zeros_like(a)
    alone = attend(a, zero) + attend(zero, f) - attend(zero, zero)
    assert not torch.allclose(merged, alone, atol=1e-4)


def test_cross_modal_attention_sees_the_far_end_of_the_other_modality() -> None:
    torch.manual_seed(0)
    attend = CrossModalAttention(8, heads=2, key_grid=4)
    a, f = pictures(1, 8, 3, 40)
    changed = f.clone()
    changed[..., -4:] = 0.0
    near, after = attend(a, f)[..., :4], attend(a, changed)[..., :4]
    assert near.shape == (1, 8, 3, 4)
    assert not torch.allclose(near, after)


def test_progressive_refinement_ends_at_full_resolution() -> None:
    refine = ProgressiveRefinement((4, 6, 8))
    details = [torch.rand(1, 4, 16, 24), torch.rand(1, 6, 8, 12)]
    assert refine(torch.rand(1, 8, 4, 6), details).shape == (1, 4, 16, 24)


@pytest.mark.parametrize(
    "sizes", [{"widths": (8,)}, {"heads": 5}, {"key_grid": 0}, {"widths": (0, 4)}]
)
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"network|heads|grid"):
        Architecture(**sizes)


@pytest.mark.parametrize("idea", ["dual_attention", "global_attention", "progressive_refinement"])
def test_each_idea_can_be_switched_off_and_takes_its_parameters_along(idea: str) -> None:
    sizes = {"widths": (4, 8, 8), "heads": 2, "key_grid": 4}
    without = RefineFuse(Architecture(**sizes, **{idea: False})).eval()
    assert sum(p.numel() for p in without.parameters()) < sum(
        p.numel() for p in RefineFuse(SMALL).parameters()
    )
    a, f = pictures(1, 1, 21, 30)
    assert without(a, f).shape == a.shape
    torch.testing.assert_close(without(a, a), a, atol=1e-6, rtol=0)
    again = Architecture(**without.architecture.to_dict())
    assert again == without.architecture
