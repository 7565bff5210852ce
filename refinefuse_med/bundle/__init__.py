"""The MONAI bundle: this folder is its root, and ``python -m refinefuse_med.bundle`` prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from refinefuse_med.bundle.inferer import FusionInferer
from refinefuse_med.bundle.network import StackedRefineFuse

__all__ = ["ROOT", "FusionInferer", "StackedRefineFuse"]

ROOT: Final = Path(__file__).parent
"""Root of the bundle, which holds ``configs/metadata.json``."""
