"""Tiny random translation models, written in CTranslate2's format without any other library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import TransformerSpec

from streamst.text import Tokenizer, train_tokenizer

DIM, HEADS, LAYERS = 16, 2, 2
BOTH = (
    "the cat is on the mat and a dog is in my box", "we go to it as you do if so be he or she", "no way up",
    "ja wir sind da und du bist am See, ich bin so froh", "es war ein Tag im Mai. Wo ist er nun?", "na gut",
) * 3  # fmt: skip


def marian(folder: Path, pair: tuple[str, str] | None = ("en", "de"), marks: Sequence[str] = (), seed: int = 1) -> Path:
    """A folder like OPUS-MT's: model.bin, config.json, vocabulary, source.spm, target.spm, tokenizer_config.json.

    marks: further pieces, such as names of languages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spm = train_tokenizer(BOTH, 90, folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    write_model(folder, pieces(spm, marks), seed)
    if pair is not None:
        said = {"source_lang": pair[0], "target_lang": pair[1]}
        (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def many_languages(folder: Path, marks: Sequence[str]) -> Path:
    """A folder like those of NLLB and M2M-100: one vocabulary, and a mark for each language."""
    folder.mkdir(parents=True, exist_ok=True)
    spm = train_tokenizer(BOTH, 90, folder / "sentencepiece.bpe.model")
    write_model(folder, pieces(spm, marks), 1, add_source_eos=False)
    return folder


def pieces(spm: Tokenizer, marks: Sequence[str]) -> list[str]:
    """A vocabulary as Marian has it: the end first."""
    return ["</s>", "<unk>", *spm.pieces[3:], *marks]


def write_model(folder: Path, vocabulary: Sequence[str], seed: int, add_source_eos: bool = True) -> None:
    """Random weights, the same for the same seed, that look at what they read and at where they are."""
    draw = np.random.default_rng(seed)
    spec = TransformerSpec.from_config((LAYERS, LAYERS), HEADS, pre_norm=False, alignment_heads=HEADS)

    def weights(*shape: int) -> np.ndarray:
        return (draw.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    def linear(part: Any, out: int, inner: int) -> None:
        part.weight, part.bias = weights(out, inner), np.zeros(out, np.float32)

    def norm(part: Any) -> None:
        part.gamma, part.beta = np.ones(DIM, np.float32), np.zeros(DIM, np.float32)

    encoder: Any = spec.encoder
    decoder: Any = spec.decoder
    for side, embeddings in ((encoder, encoder.embeddings[0]), (decoder, decoder.embeddings)):
        embeddings.weight = weights(len(vocabulary), DIM) * 4
        side.position_encodings.encodings = weights(512, DIM) * 4
        for layer in side.layer:
            linear(layer.self_attention.linear[0], 3 * DIM, DIM)
            linear(layer.self_attention.linear[1], DIM, DIM)
            norm(layer.self_attention.layer_norm)
            linear(layer.ffn.linear_0, 4 * DIM, DIM)
            linear(layer.ffn.linear_1, DIM, 4 * DIM)
            norm(layer.ffn.layer_norm)
    for layer in decoder.layer:
        for part, out in zip(layer.attention.linear, (DIM, 2 * DIM, DIM), strict=True):
            linear(part, out, DIM)
        norm(layer.attention.layer_norm)
    linear(decoder.projection, len(vocabulary), DIM)
    decoder.start_from_zero_embedding = True
    spec.register_source_vocabulary(list(vocabulary))
    spec.register_target_vocabulary(list(vocabulary))
    settings: Any = spec.config
    settings.add_source_eos, settings.decoder_start_token = add_source_eos, "</s>"
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
