"""Trained weights: safetensors with a JSON manifest beside it, never pickle.

The manifest says what the weights are: their name and version, the sizes of the
network, the SHA-256 of the safetensors file, how they were trained, and on what terms.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError

from refinefuse_med.errors import ModelError
from refinefuse_med.network.architecture import Architecture
from refinefuse_med.network.refinefuse import RefineFuse

__all__ = [
    "DEFAULT_WEIGHTS",
    "WeightsInfo",
    "load_pretrained",
    "load_weights",
    "save_pretrained",
    "weights_info",
]

DEFAULT_WEIGHTS: Final = "refinefuse-s"
"""Name of the weights used where none are named."""

NETWORK: Final = "RefineFuse"
SCHEMA: Final = 1
PACKAGED: Final = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class WeightsInfo:
    """What a manifest says of its weights.

    Attributes
    ----------
    path : Path
        The safetensors file.
    name, version : str
        What the weights are called.
    sha256 : str
        Of the safetensors file.
    architecture : Architecture
        Sizes of the network they belong to.
    manifest : dict
        The whole manifest.
    """

    path: Path
    name: str
    version: str
    sha256: str
    architecture: Architecture
    manifest: dict[str, Any]


def weights_info(path_or_name: str | Path | None = None) -> WeightsInfo:
    """Read the manifest of weights, without loading them.

    Parameters
    ----------
    path_or_name : str or Path, optional
        Name of weights in the package, or path of a ``.safetensors`` file; the weights in
        the package by default.

    Raises
    ------
    ModelError
        The weights or their manifest are missing, damaged, or of another network.
    """
    path = _locate(path_or_name)
    manifest_path = path.with_suffix(".json")
    if not manifest_path.is_file():
        raise ModelError(
            "the weights have no manifest beside them",
            where=path,
            hint=f"put {manifest_path.name} next to the file",
        )
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest["network"] != NETWORK or manifest["schema"] != SCHEMA:
            raise ValueError("another network or schema")
        return WeightsInfo(
            path=path,
            name=str(manifest["name"]),
            version=str(manifest["version"]),
            sha256=str(manifest["sha256"]),
            architecture=Architecture(**manifest["architecture"]),
            manifest=manifest,
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"not a manifest of {NETWORK} weights ({type(error).__name__})",
            where=manifest_path,
            hint="fetch the weights and their manifest again",
        ) from error


def load_pretrained(path_or_name: str | Path | None = None) -> RefineFuse:
    """Make a network with trained weights; see `RefineFuse.from_pretrained`."""
    info = weights_info(path_or_name)
    try:
        content = info.path.read_bytes()
    except OSError as error:
        raise ModelError("the weights cannot be read", where=info.path) from error
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise ModelError(
            "the weights are damaged: their SHA-256 is not that of the manifest",
            where=info.path,
            hint="fetch the file again",
        )
    model = RefineFuse(info.architecture)
    load_weights(model, content, where=info.path)
    model.weights_name, model.weights_sha256 = info.name, info.sha256
    # A third faster on a CPU than the default layout, for batches of slices.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval().requires_grad_(False)


def load_weights(model: RefineFuse, content: bytes, *, where: object = None) -> None:
    """Load the bytes of a safetensors file into a network, every parameter of it.

    Raises
    ------
    ModelError
        Not safetensors, or of another network.
    """
    try:
        model.load_state_dict(safetensors.torch.load(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"the weights are not those of this network ({type(error).__name__})",
            where=where,
            hint="use weights that `refinefuse train` wrote",
        ) from error


def save_pretrained(
    model: RefineFuse,
    folder: Path,
    *,
    name: str,
    version: str,
    licence: str,
    training: dict[str, Any],
) -> WeightsInfo:
    """Write weights and their manifest as ``folder/name.safetensors`` and ``folder/name.json``.

    Parameters
    ----------
    model : RefineFuse
    folder : Path
        Made where it is missing.
    name, version, licence : str
        What the weights are called, and on what terms they may be used.
    training : dict
        How they were trained, fit for JSON.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    # No more than one entry: safetensors writes several in an order that changes.
    content = safetensors.torch.save(state, metadata={"network": NETWORK})
    manifest = {
        "schema": SCHEMA,
        "network": NETWORK,
        "name": name,
        "version": version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "architecture": model.architecture.to_dict(),
        "licence": licence,
        "training": training,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    path.write_bytes(content)
    text = json.dumps(manifest, indent=2, sort_keys=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return weights_info(path)


def _locate(path_or_name: str | Path | None) -> Path:
    if path_or_name is None:
        path_or_name = DEFAULT_WEIGHTS
    packaged = PACKAGED / f"{path_or_name}.safetensors"
    is_name = isinstance(path_or_name, str) and packaged.parent == PACKAGED and packaged.is_file()
    path = packaged if is_name else Path(path_or_name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PACKAGED.glob("*.safetensors"))) or "none"
        raise ModelError(
            "no such weights", where=path_or_name, hint=f"weights in the package: {known}"
        )
    return path
