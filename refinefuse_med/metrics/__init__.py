"""Metrics of fused pictures."""

from __future__ import annotations

from refinefuse_med.metrics.fusion import FUSION_METRICS, evaluate_fusion

__all__ = ["FUSION_METRICS", "evaluate_fusion"]
