"""Model directories: `config.json`, `weights.safetensors`, the hash of the weights, and a model card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from streamst.errors import CheckpointError

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str | None) -> None:
    """CheckpointError when the file is missing or another one."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    actual = file_sha256(path)
    if actual != expected:
        raise CheckpointError(f"{path} has SHA-256 {actual}, its configuration says {expected}")


def save(directory: Path, kind: str, config: dict[str, Any], module: nn.Module, half: bool = True) -> None:
    """Write `module` as a model of `kind` with its `config`; floating-point weights as float16 if `half`."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu().contiguous().clone()
        weights[name] = value.half() if half and value.is_floating_point() else value
    save_file(weights, directory / WEIGHTS)
    (directory / WEIGHTS).chmod(0o644)  # safetensors makes it readable for its owner only
    described = {"kind": kind, "sha256": file_sha256(directory / WEIGHTS), "config": config}
    (directory / CONFIG).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_config(directory: Path, kind: str) -> dict[str, Any]:
    """The configuration of the model in `directory`; CheckpointError if there is none or it is of another kind."""
    path = directory / CONFIG
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        found, config = described["kind"], described["config"]
    except FileNotFoundError:
        raise CheckpointError(f"no model here: {path} does not exist") from None
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not a model's configuration: {error!r}") from error
    if found != kind:
        raise CheckpointError(f"{path} describes a model of kind {found!r}, not {kind!r}")
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a model's configuration: config is {config!r:.80}")
    return config


def load_weights(directory: Path, module: nn.Module, unused: frozenset[str] = frozenset()) -> None:
    """Fill `module` from `directory`, in the module's own precision, after checking the hash.

    unused: tensors that `directory` may have and nobody reads any more.
    """
    described = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    path = directory / WEIGHTS
    check_sha256(path, described.get("sha256"))
    weights: dict[str, Tensor] = {name: one for name, one in load_file(path).items() if name not in unused}
    own = module.state_dict()
    wrong = sorted(set(weights) ^ set(own)) or [n for n in own if own[n].shape != weights[n].shape]
    if wrong:
        raise CheckpointError(f"{path} does not fit its configuration: tensor {wrong[0]!r}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])
