"""Recipes of kind "data": the speech that other recipes train on, and test sets in voices kept for testing."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from streamst.config import from_dict
from streamst.errors import InputError
from streamst.languages.english import spoken_english
from streamst.train import human, synthesis
from streamst.train.manifest import read_manifest

SHIPPED = Path(__file__).parent / "recipes"  # where a test set's sentences are looked for that stand nowhere else


@dataclass(frozen=True)
class SynthesisConfig:
    """Sentence pairs to be spoken for training."""

    pairs: tuple[str, ...] = ()  # files of English TAB German
    count: int = 24_000  # sentences
    espeak_share: float = 0.3  # the rest is flite's
    seed: int = 1


@dataclass(frozen=True)
class TestConfig:
    """Sentences to be spoken for testing, with a manifest for `streamst bench`."""

    pairs: str = ""
    count: int = 200
    voice: str = "cmu_us_slt_arctic_hts"
    seed: int = 1


@dataclass(frozen=True)
class DataConfig:
    """What a data recipe makes under `output`."""

    excluded: tuple[
        str, ...
    ] = ()  # files whose English never trains: sentence pairs, or manifests with a `text` column
    synthetic: SynthesisConfig | None = None
    dev: SynthesisConfig | None = None
    human: tuple[str, ...] = ()  # folders with manifest.tsv, split `train`
    test: TestConfig | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)


def run(recipe: dict[str, object]) -> dict[str, float]:
    """Make everything that the recipe names and is not there yet; returns hours of speech by folder."""
    config = from_dict(DataConfig, {k: v for k, v in recipe.items() if k not in ("kind", "output")})
    output = Path(str(recipe["output"]))
    console = Console(stderr=True)
    excluded = [text for path in config.excluded for text in english(Path(path))]
    hours: dict[str, float] = {}
    for name, wanted in (("synthetic", config.synthetic), ("dev-synthetic", config.dev)):
        if wanted is not None:
            banned = excluded if name == "synthetic" else []
            pairs = [pair for path in wanted.pairs for pair in synthesis.read_pairs(Path(path))]
            takes = synthesis.plan(pairs, wanted.count, wanted.espeak_share, banned, wanted.seed)
            console.print(f"{name}: {len(takes)} sentences")
            hours[name] = _hours(synthesis.synthesise(takes, output / name, config.workers))
    if config.human:
        folders = [Path(folder) for folder in config.human]
        tested = any(read_manifest(folder / "manifest.tsv", "test") for folder in folders)
        for name, split in (("human", "train"), *((("human-test", "test"),) if tested else ())):
            console.print(f"{name}: {len(folders)} folders")
            hours[name] = _hours(human.prepare(folders, output / name, split, config.workers))
    if config.test is not None:
        wanted = Path(config.test.pairs)
        if not wanted.exists() and (SHIPPED / wanted.name).exists():
            wanted = SHIPPED / wanted.name
        pairs = list(dict(reversed(synthesis.read_pairs(wanted))).items())
        chosen = random.Random(config.test.seed).sample(sorted(pairs), min(config.test.count, len(pairs)))
        console.print(f"test: {len(chosen)} sentences by {config.test.voice}")
        manifest = synthesis.spoken_set(chosen, output / "test", config.test.voice, config.workers)
        hours["test"] = sum(float(row["duration_s"]) for row in read_manifest(manifest)) / 3600
    return hours


def english(path: Path) -> list[str]:
    """The English sentences of a file of pairs, or of a manifest with a `text` column."""
    try:
        with path.open(encoding="utf-8") as file:
            is_manifest = "text" in file.readline().rstrip("\n").split("\t")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"sentences {path}: {error}") from error
    if is_manifest:
        return [spoken_english(row["text"]) for row in read_manifest(path)]
    return [pair[0] for pair in synthesis.read_pairs(path)]


def _hours(manifest: Path) -> float:
    from lhotse import CutSet

    return sum(cut.duration for cut in CutSet.from_file(manifest)) / 3600
