"""What the network promises by construction, whatever its weights."""

import pytest
import torch

from refinefuse_med.network import Architecture, RefineFuse
from refinefuse_med.network.dual_attention import DualAttentionInteraction
from refinefuse_med.network.encoder import TwoStreamEncoder
from refinefuse_med.network.global_attention import CrossModalAttention
from refinefuse_med.network.head import CLEAR_DIFFERENCE, NEIGHBOURHOOD, disagreement
from refinefuse_med.network.progressive_refinement import (
    ProgressiveRefinement,
    RefinementInteraction,
)

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


@pytest.mark.parametrize("channels", [1, 5, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dual_attention_merges_features_weighted_by_channel_and_pixel(
    channels: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(channels)
    attend = DualAttentionInteraction(channels).double()
    a, f = (x.double().to(memory_format=layout) for x in pictures(3, channels, 6, 9))

    def as_it_is_written(a: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        both = torch.cat((a, f), dim=1)
        channel = attend.channel_attention(both.mean(dim=(2, 3), keepdim=True)).chunk(2, dim=1)
        outlines = [g(x) for x in (a, f) for g in (_mean_of_channels, _largest_of_channels)]
        pixel = attend.pixel_attention(torch.cat(outlines, dim=1)).chunk(2, dim=1)
        return attend.merge(torch.cat((a * channel[0] * pixel[0], f * channel[1] * pixel[1]), 1))

    assert_same_values_and_gradients(attend, attend.forward, as_it_is_written, a, f)


def _mean_of_channels(x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=1, keepdim=True)


def _largest_of_channels(x: torch.Tensor) -> torch.Tensor:
    return x.amax(dim=1, keepdim=True)


def assert_same_values_and_gradients(module, one, other, *sources: torch.Tensor) -> None:
    results = []
    for compute in (one, other):
        leaves = [x.clone().requires_grad_() for x in sources]
        value = compute(*leaves)
        (value**2).sum().backward()
        results.append([value.detach(), *(x.grad for x in (*leaves, *module.parameters()))])
        module.zero_grad()
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_step_of_refinement_gates_the_details_and_adds_the_semantics() -> None:
    torch.manual_seed(0)
    step = RefinementInteraction(5, 3).double()
    semantic, detail = torch.rand(2, 5, 4, 6).double(), torch.rand(2, 3, 8, 12).double()

    def as_it_is_written(semantic: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        gate, content = torch.nn.functional.interpolate(
            step.project(semantic), scale_factor=2.0, mode="bilinear", align_corners=False
        ).chunk(2, dim=1)
        return step.refine(detail * 2 * gate.sigmoid() + content)

    assert_same_values_and_gradients(step, step.forward, as_it_is_written, semantic, detail)


@pytest.mark.parametrize("size", [(40, 52), (7, 30), (1, 1)])
def test_sources_are_compared_over_the_part_of_the_neighbourhood_that_is_inside(
    size: tuple[int, int],
) -> None:
    a, f = pictures(2, 1, *size)
    mean = torch.nn.functional.avg_pool2d(
        (a - f).abs(),
        NEIGHBOURHOOD,
        stride=1,
        padding=NEIGHBOURHOOD // 2,
        count_include_pad=False,
    )
    torch.testing.assert_close(disagreement(a, f), mean / (mean + CLEAR_DIFFERENCE))


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
