"""Which models stand on this machine: those in the package and those in the user's cache."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class ModelInfo:
    """One model directory, as far as it can be read without loading it."""

    name: str  # the directory, from the root it stands in
    path: Path
    origin: Literal["package", "cache"]
    kind: str  # "" when its configuration cannot be read
    size_bytes: int
    sha256: str  # what the configuration says of the weights
    quality: str  # the line of its card that begins with "Quality:", without that word
    trouble: str = ""  # what is wrong with it


def cache_directory() -> Path:
    """Where models that are not part of the package are kept: `STREAMST_CACHE`, or below the user's cache directory."""
    chosen = os.environ.get("STREAMST_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamst"


def models(check_hashes: bool = False) -> list[ModelInfo]:
    """Every model directory below the package's assets and the cache, by name; `check_hashes` reads all weights."""
    roots: list[tuple[Path, Literal["package", "cache"]]] = [(ASSETS, "package"), (cache_directory(), "cache")]
    found = [
        _describe(config.parent, root, origin, check_hashes)
        for root, origin in roots
        for config in sorted(root.glob("**/config.json"))
    ]
    return sorted(found, key=lambda model: (model.origin != "package", model.name))


def _describe(directory: Path, root: Path, origin: Literal["package", "cache"], check_hash: bool) -> ModelInfo:
    name = directory.relative_to(root).as_posix()
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    try:
        described = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        kind, sha256 = str(described["kind"]), str(described["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        trouble = f"config.json cannot be read: {error!r}"
        return ModelInfo(name, directory, origin, "", size, "", _quality(directory), trouble)
    trouble = ""
    weights = directory / "weights.safetensors"
    if not weights.exists():
        trouble = f"{weights.name} does not exist"
    elif check_hash:
        from streamst.checkpoint import file_sha256  # brings torch, which a list of names does not need

        actual = file_sha256(weights)
        if actual != sha256:
            trouble = f"{weights.name} has SHA-256 {actual[:12]}…, its configuration says {sha256[:12]}…"
    return ModelInfo(name, directory, origin, kind, size, sha256, _quality(directory), trouble)


def _quality(directory: Path) -> str:
    for card in sorted(directory.glob("*.md")):
        for line in card.read_text(encoding="utf-8").splitlines():
            plain = line.replace("*", "").strip(" -|#")
            if plain.lower().startswith("quality:"):
                return plain[len("quality:") :].strip()
    return ""
