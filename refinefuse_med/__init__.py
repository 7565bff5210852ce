"""RefineFuse-Med: fuse two scans of one patient into one trusted volume.

The names below are loaded when they are first used, so that importing the package
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "load_volume": "refinefuse_med.io",
    "fuse": "refinefuse_med.pipeline",
    "fuse_pair": "refinefuse_med.pipeline",
    "FusionResult": "refinefuse_med.pipeline",
    "FusionConfig": "refinefuse_med.config",
    "register": "refinefuse_med.registration",
    "RefineFuse": "refinefuse_med.network",
    "RefineFuseError": "refinefuse_med.errors",
    "make_volume": "refinefuse_med.volume",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from refinefuse_med.config import FusionConfig as FusionConfig
    from refinefuse_med.errors import RefineFuseError as RefineFuseError
    from refinefuse_med.io import load_volume as load_volume
    from refinefuse_med.network import RefineFuse as RefineFuse
    from refinefuse_med.pipeline import FusionResult as FusionResult
    from refinefuse_med.pipeline import fuse as fuse
    from refinefuse_med.pipeline import fuse_pair as fuse_pair
    from refinefuse_med.registration import register as register
    from refinefuse_med.volume import make_volume as make_volume


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
