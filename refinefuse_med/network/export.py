"""Export of the network to ONNX, checked against PyTorch before anybody relies on it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from refinefuse_med.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from refinefuse_med.network.refinefuse import RefineFuse

__all__ = ["TOLERANCE", "export_onnx"]

TOLERANCE: Final = 1e-4
"""Largest difference to PyTorch, of pictures in [0, 1], at which an export is taken."""

INPUTS: Final = ["anatomical", "functional"]


def export_onnx(model: RefineFuse, path: str | Path, size: tuple[int, int]) -> float:
    """Write a network as ONNX, and run it once beside PyTorch.

    Parameters
    ----------
    model : RefineFuse
        On the CPU.
    path : str or Path
        The file; inputs ``anatomical`` and ``functional``, output ``fused``, each float32 of
        shape (batch, 1, H, W) in [0, 1], with any batch.
    size : (int, int)
        H and W, which are fixed: the pooling of the global attention depends on them.

    Returns
    -------
    float
        Largest difference to PyTorch found, 0 to `TOLERANCE`.

    Raises
    ------
    MissingExtraError
        ONNX or ONNX Runtime are not installed.
    ModelError
        What ONNX Runtime gives is not what PyTorch gives.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (torch asks for it late, with another error)
    except ImportError as error:
        raise MissingExtraError(
            "export to ONNX needs onnx, onnxscript and onnxruntime",
            hint="pip install 'refinefuse-med[onnx]'",
        ) from error
    model = model.eval()
    # Two samples: torch takes a batch of one for a constant.
    pictures = tuple(torch.rand(2, 2, 1, *size, generator=torch.Generator().manual_seed(0)))
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript"):
        # Its own deprecations, and a remark that both inputs share the batch: they do.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            pictures,
            dynamo=True,
            input_names=INPUTS,
            output_names=["fused"],
            dynamic_shapes=(batch, batch),
            verbose=False,
        )
    assert program is not None
    program.save(str(path))

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, dict(zip(INPUTS, (p.numpy() for p in pictures), strict=True)))[0]
    with torch.inference_mode():
        expected = model(*pictures)
    apart = float((torch.from_numpy(found) - expected).abs().max())
    if apart > TOLERANCE:
        raise ModelError(
            f"ONNX Runtime differs from PyTorch by {apart:.2g}",
            where=path,
            hint="use the versions of constraints.txt",
        )
    return apart


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Errors alone of these loggers: what they could not simplify concerns nobody here."""
    levels = {log: log.level for log in map(logging.getLogger, loggers)}
    for log in levels:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)
