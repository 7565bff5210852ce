"""The sizes that define one RefineFuse network, as its manifest records them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Architecture"]


@dataclass(frozen=True)
class Architecture:
    """Sizes of a `RefineFuse`.

    Attributes
    ----------
    widths : tuple of int
        Channels of each scale, full resolution first; every further scale halves it.
    heads : int
        Heads of the global attention; divides the last width.
    key_grid : int
        Side of the grid that the global attention pools its keys to, which bounds its
        memory for pictures of any size.
    dual_attention, global_attention, progressive_refinement : bool
        Whether the network has each of the paper's ideas. Without one, the plainest thing
        that does its work stands in its place; they are switched off to see what each
        is worth.
    """

    widths: tuple[int, ...] = (16, 32, 48, 96)
    heads: int = 4
    key_grid: int = 16
    dual_attention: bool = True
    global_attention: bool = True
    progressive_refinement: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError("a network has two scales or more, each of one channel or more")
        if self.heads < 1 or self.widths[-1] % self.heads:
            raise ValueError("the number of heads divides the last width")
        if self.key_grid < 1:
            raise ValueError("the grid of keys has a side of one or more")

    @property
    def stride(self) -> int:
        """Pixels to a step of the coarsest scale."""
        return int(2 ** (len(self.widths) - 1))

    def to_dict(self) -> dict[str, Any]:
        """Give the attributes, fit for JSON."""
        return {**asdict(self), "widths": list(self.widths)}
