"""FusionInferer, alone and in a MONAI evaluator."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator

from refinefuse_med.bundle import FusionInferer, StackedRefineFuse
from refinefuse_med.config import EngineConfig
from refinefuse_med.engine import Engine
from refinefuse_med.errors import GeometryError, InputError


@pytest.fixture(scope="module")
def network():
    return StackedRefineFuse()


@pytest.fixture
def image(oblique):
    values = torch.rand(2, 20, 24, 10, generator=torch.Generator().manual_seed(3))
    return MetaTensor(values, affine=torch.as_tensor(oblique))


@pytest.mark.parametrize("plane", ["axial", "sagittal", "triplanar"])
def test_volumes_are_fused_as_by_the_engine(network, image, oblique, plane):
    seen = torch.ones(1, 20, 24, 10, dtype=torch.uint8)
    seen[..., 6:] = 0
    turned = MetaTensor(image.flip(1), affine=torch.as_tensor(oblique @ np.diag([-1.0, 1, 1, 1])))
    batch = next(iter(DataLoader(Dataset([image, turned]), batch_size=2)))
    found = FusionInferer(plane)(batch, network, torch.stack([seen, seen]))
    assert found.shape == (2, 1, 20, 24, 10)
    engine = Engine(network, EngineConfig(plane=plane, device="cpu"))
    plain = image.as_tensor()
    expected = engine.fuse(*plain, oblique, field_of_view=seen[0]).fused
    assert torch.equal(found[0, 0].as_tensor(), expected)
    assert torch.equal(found[1, 0].as_tensor(), expected.flip(0)), "each by its own affine"
    assert torch.equal(found.affine, batch.affine)


def test_slices_are_fused_as_they_are(network):
    batch = torch.rand(3, 2, 31, 26, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        torch.testing.assert_close(FusionInferer()(batch, network), network(batch))


def test_volumes_without_affines_and_other_channels_are_refused(network):
    with pytest.raises(GeometryError, match="without affines"):
        FusionInferer()(torch.rand(1, 2, 8, 8, 8), network)
    with pytest.raises(InputError, match="found shape"):
        FusionInferer()(torch.rand(1, 3, 8, 8), network)


def test_an_evaluator_runs_it(network, image):
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([{"image": image}]), batch_size=1),
        network=network,
        inferer=FusionInferer("axial"),
    )
    evaluator.run()
    pred = evaluator.state.output[0]["pred"]
    assert torch.equal(pred, FusionInferer("axial")(image[None], network)[0])
    assert torch.equal(pred.affine, image.affine)
