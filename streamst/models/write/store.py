"""A writer of written text in a folder of its own: one vocabulary for source and target, words with their case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from streamst import checkpoint
from streamst.config import from_dict, to_dict
from streamst.errors import CheckpointError, ConfigError
from streamst.text import Tokenizer, shorter_case

from .export import export_writer
from .network import Writer, WriterConfig
from .taed import Taed, TaedConfig
from .word_table import WordTable
from .writer import WordWriter

KIND, TOKENS, WORDS = "text-writer", "tokens.model", "words.tsv"


@dataclass(frozen=True)
class TextWriterConfig:
    """The network, and the languages that it was trained with."""

    writer: WriterConfig = field(default_factory=WriterConfig)
    source: str = "en"
    targets: tuple[str, ...] = ("de",)
    taed: TaedConfig | None = None  # the gate, where it has one
    beams: int = 4  # ways to go on that are kept at each token


def save(
    folder: Path,
    network: Writer,
    tokenizer: Tokenizer,
    taed: Taed | None = None,
    words: Sequence[str] = (),
    languages: tuple[str, tuple[str, ...]] = ("en", ("de",)),
) -> None:
    """Write a network, its vocabulary, and its gate where it has one, to `folder`; words: lines for `WordTable`;
    languages: what it reads, and what it writes."""
    config = TextWriterConfig(network.config, *languages, taed=None if taed is None else taed.config)
    checkpoint.save(folder, KIND, to_dict(config), _together(network, taed))
    (folder / TOKENS).write_bytes(tokenizer.model.read_bytes())
    if words:
        (folder / WORDS).write_text("".join(f"{line}\n" for line in words), encoding="utf-8")


def export(folder: Path, exact: bool = False) -> tuple[Path, Path]:
    """Write the graphs of the writer of `folder` beside its weights; see `export.py`. CheckpointError where it is none,
    UnavailableError without the package onnx."""
    config = _config(folder)
    return export_writer(folder, config.writer, "" if config.taed is None else "writer.", exact)


def languages(folder: Path) -> tuple[str, tuple[str, ...]]:
    """What the writer of `folder` reads, and what it writes; CheckpointError where it is none. No weights are read."""
    config = _config(folder)
    return config.source, config.targets


def load(folder: Path, device: str = "cpu") -> WordWriter:
    """The writer of `folder`; CheckpointError where it is none, or damaged."""
    config = _config(folder)
    tokenizer = Tokenizer(folder / TOKENS)
    if tokenizer.size != config.writer.target_tokens:
        raise CheckpointError(
            f"{tokenizer.model} has {tokenizer.size} tokens; the writer beside it has {config.writer.target_tokens}"
        )
    network = Writer(config.writer)
    network.seldom = torch.tensor(sorted(tokenizer.byte_tokens), device=device)  # a letter in bytes is a copy's
    taed = None if config.taed is None else Taed(config.taed)
    checkpoint.load_weights(folder, _together(network, taed).eval().requires_grad_(False).to(device))
    words = WordTable.load(folder / WORDS, tokenizer) if (folder / WORDS).exists() else None
    languages = config.source, config.targets
    spelling = partial(shorter_case, tokenizer=tokenizer)
    return WordWriter(network, tokenizer, tokenizer, languages, taed, spelling, config.beams, words)


def _together(network: Writer, taed: Taed | None) -> nn.Module:
    return network if taed is None else nn.ModuleDict({"writer": network, "taed": taed})


def _config(folder: Path) -> TextWriterConfig:
    described = checkpoint.read_config(folder, KIND)
    try:
        config = from_dict(TextWriterConfig, described, "TextWriterConfig")
    except ConfigError as error:
        raise CheckpointError(f"{folder / checkpoint.CONFIG}: {error}") from error
    if not 1 <= config.beams <= 16:
        raise CheckpointError(f"{folder / checkpoint.CONFIG}: beams = {config.beams}; allowed: 1 to 16")
    if not config.writer.shared:
        raise CheckpointError(f"{folder / checkpoint.CONFIG}: shared = false; a text writer has one vocabulary, true")
    return config
