"""`streamst train RECIPE.toml`: reads a recipe and runs its kind of training."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import torch

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.train import base, evidence, loop, prepare, translated, words

KINDS = {
    "listener": "streamst.train.listener",
    "writer": "streamst.train.writer",
    "text-writer": "streamst.train.text_writer",
    "text-gate": "streamst.train.text_gate",
    "translator": "streamst.train.translator",
    "heads": "streamst.train.heads",
    "taed": "streamst.train.taed",
    "codec": "streamst.train.codec",
    "voice": "streamst.train.voice",
    "letters": "streamst.train.letters",
    "whisper": "streamst.train.whisper",
}
PREPARING = {"data": prepare, "words": words, "evidence": evidence, "translated": translated}  # what trains no network
TABLES = {  # of a recipe beside `loop`; the kinds that are not here check their recipes themselves
    "listener": ("model", "data", "loss", "validation"),
    "writer": ("model", "data"),
    "text-writer": ("model", "data"),
    "text-gate": ("model", "data", "loss"),
    "translator": ("data", "text", "join", "search"),
    "heads": ("heads", "data", "loss", "validation"),
    "taed": ("model", "data", "loss"),
    "codec": ("model", "data", "losses"),
    "whisper": ("data", "loss"),
}
PATHS = {
    "translator": ("listener", "writer"), "whisper": ("package",), "heads": ("base",), "taed": ("base",),
    "text-gate": ("base",),
}  # fmt: skip
OPTIONAL = {
    "listener": ("text", "base"),
    "text-writer": ("base",),
    "translator": ("words", "parts"),
}  # a listener needs one of its two
SHIPPED = Path(__file__).parent / "recipes"


def run(path: Path, device: str = "auto", resume: bool = False) -> dict[str, float]:
    """Train what the recipe at `path` (or the shipped one of that name) describes; returns its last validation figures.

    Raises ConfigError naming what is wrong with the recipe, InputError for a file that cannot be read or written and
    for a device that is not here.
    """
    recipe = read(path)
    kind = recipe.get("kind")
    if not isinstance(kind, str) or kind not in (*KINDS, *PREPARING):
        allowed = ", ".join((*PREPARING, *KINDS))
        raise ConfigError(f"recipe {path}: kind {kind!r} is not allowed; use one of {allowed}")
    if not isinstance(recipe.get("output"), str):
        raise ConfigError(f"recipe {path}: missing key 'output', the run directory")
    device = _device(device)
    try:
        if kind in PREPARING:
            return PREPARING[kind].run(recipe)
        check_keys(recipe, kind)
        settings = from_dict(loop.LoopConfig, recipe.get("loop", {}), "loop")
        base.check_parts(recipe)
        loop.check_directory(Path(recipe["output"]), resume)
        task = importlib.import_module(KINDS[kind]).task(recipe, device)
        figures = loop.train(task, settings, Path(recipe["output"]), device, resume)
        base.describe(Path(recipe["output"]) / "model", recipe)
        return figures
    except OSError as error:
        raise InputError(f"recipe {path}: {error}") from error


def read(path: Path) -> dict[str, Any]:
    """The recipe at `path`, or the shipped one of that name. One that is `like` another has all that the other says and
    it does not; ConfigError where it cannot be read."""
    if not path.exists() and (SHIPPED / path.name).exists():
        path = SHIPPED / path.name
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.toml")))
        raise ConfigError(f"recipe {path} does not exist; shipped recipes: {shipped}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"recipe {path} cannot be read: {error.strerror}") from error
    other = recipe.pop("like", None)
    if other is None:
        return recipe
    if not isinstance(other, str) or Path(other).name == path.name:
        raise ConfigError(f"recipe {path}: like = {other!r}; allowed: the name of another recipe")
    found = read(path.parent / other)
    for name, told in recipe.items():
        before = found.get(name)
        found[name] = before | told if isinstance(before, dict) and isinstance(told, dict) else told
    return found


def check_keys(recipe: dict[str, Any], kind: str) -> None:
    """ConfigError for a key that recipes of `kind` do not have, a missing path, or a table or path that is none."""
    tables, needed = (*TABLES.get(kind, ()), "loop"), PATHS.get(kind, ())
    paths = (*needed, *OPTIONAL.get(kind, ()))
    unknown = sorted(set(recipe) - {"kind", "output", *tables, *paths})
    if kind in TABLES and unknown:
        allowed = ", ".join(("kind", "output", *paths, *tables))
        raise ConfigError(f"recipe: unknown key {unknown[0]!r}; allowed for kind {kind!r}: {allowed}")
    for name in tables:
        if not isinstance(recipe.get(name, {}), dict):
            raise ConfigError(f"recipe: {name} = {recipe[name]!r} is not a table; write [{name}]")
    if kind == "listener" and "text" not in recipe and "base" not in recipe:
        raise ConfigError("recipe: missing key 'text', a path to learn the tokenizer from, or 'base', a translator")
    for name in paths:
        if name in needed and name not in recipe:
            raise ConfigError(f"recipe: missing key {name!r}, a path")
        if not isinstance(recipe.get(name, ""), str):
            raise ConfigError(f"recipe: {name} = {recipe[name]!r} is not a path")


def _device(device: str) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is not possible; allowed: auto, cpu, cuda")
    here = torch.cuda.is_available()
    if device == "cuda" and not here:
        raise InputError("device 'cuda' is not available here; allowed: auto, cpu")
    return ("cuda" if here else "cpu") if device == "auto" else device
