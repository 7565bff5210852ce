"""Running the network slice by slice over a volume, on any device."""

from __future__ import annotations

from refinefuse_med.engine.device import device_failures, release_memory, resolve_device
from refinefuse_med.engine.engine import Engine, EngineResult
from refinefuse_med.engine.transfer import to_device, to_place

__all__ = [
    "Engine",
    "EngineResult",
    "device_failures",
    "release_memory",
    "resolve_device",
    "to_device",
    "to_place",
]
