"""The contribution map as a picture."""

import torch

from refinefuse_med.colour import show_contribution
from refinefuse_med.colour.contribution import ANATOMICAL_COLOUR, FUNCTIONAL_COLOUR


def test_each_source_has_its_colour_and_both_together_are_white() -> None:
    parts = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 0.0]])
    shown = show_contribution(parts)
    torch.testing.assert_close(shown[:, 0], torch.tensor(ANATOMICAL_COLOUR))
    torch.testing.assert_close(shown[:, 1], torch.tensor(FUNCTIONAL_COLOUR))
    torch.testing.assert_close(shown[:, 2], torch.full((3,), 0.5))
    assert not shown[:, 3].any()
    torch.testing.assert_close(
        torch.tensor(ANATOMICAL_COLOUR) + torch.tensor(FUNCTIONAL_COLOUR), torch.ones(3)
    )


def test_volumes_are_shown_as_pictures_are() -> None:
    parts = torch.rand(2, 3, 4, 5) / 2
    volume = show_contribution(parts)
    assert volume.shape == (3, 3, 4, 5)
    torch.testing.assert_close(volume[:, 1], show_contribution(parts[:, 1]))
