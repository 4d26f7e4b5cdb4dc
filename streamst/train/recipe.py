"""`streamst train RECIPE.toml`: reads a recipe and runs its kind of training."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import torch

from streamst.config import from_dict
from streamst.errors import ConfigError
from streamst.train import loop, prepare, words

KINDS = {
    "listener": "streamst.train.listener",
    "writer": "streamst.train.writer",
    "translator": "streamst.train.translator",
    "heads": "streamst.train.heads",
    "taed": "streamst.train.taed",
    "codec": "streamst.train.codec",
    "voice": "streamst.train.voice",
    "letters": "streamst.train.letters",
}
PREPARING = {"data": prepare, "words": words}  # what trains no network
SHIPPED = Path(__file__).parent / "recipes"


def run(path: Path, device: str = "auto", resume: bool = False) -> dict[str, float]:
    """Train what the recipe at `path` (or the shipped one of that name) describes; returns its last validation figures.

    Raises ConfigError naming what is wrong with the recipe.
    """
    if not path.exists() and (SHIPPED / path.name).exists():
        path = SHIPPED / path.name
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.toml")))
        raise ConfigError(f"recipe {path} does not exist; shipped recipes: {shipped}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} is not TOML: {error}") from error
    kind = recipe.get("kind")
    if kind not in (*KINDS, *PREPARING):
        allowed = ", ".join((*PREPARING, *KINDS))
        raise ConfigError(f"recipe {path}: kind {kind!r} is not allowed; use one of {allowed}")
    if not isinstance(recipe.get("output"), str):
        raise ConfigError(f"recipe {path}: missing key 'output', the run directory")
    if kind in PREPARING:
        return PREPARING[kind].run(recipe)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = from_dict(loop.LoopConfig, recipe.get("loop", {}), "loop")
    task = importlib.import_module(KINDS[kind]).task(recipe, device)
    return loop.train(task, settings, Path(recipe["output"]), device, resume)
