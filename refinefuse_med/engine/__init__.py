"""Running the network slice by slice over a volume, on any device."""

from __future__ import annotations

from refinefuse_med.engine.device import resolve_device
from refinefuse_med.engine.engine import Engine, EngineResult

__all__ = ["Engine", "EngineResult", "resolve_device"]
