"""Words that every output bears."""

from typing import Final

__all__ = ["RESEARCH_ONLY"]

RESEARCH_ONLY: Final = "For research use only, not for diagnosis"
