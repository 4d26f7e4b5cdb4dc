"""Translation models in CTranslate2's format as writers: OPUS-MT (Marian), NLLB, M2M-100; extra `ct2`.

Committed words are the decoder's prefix, and what comes after them begins a new word. Sessions are decoded together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamst.errors import InputError
from streamst.models.glossary import Glossary
from streamst.models.seam import HeardWord, Write
from streamst.models.write.greedy import looping
from streamst.policies.base import Hypothesis, Need

from .ct2_model import TranslationModel

LONGEST = 500  # tokens of a translation; positions end at 512


@dataclass(frozen=True)
class _Row:
    """A segment in the model's pieces; words: for each piece between the marks, the word that it is of."""

    work: Write
    source: list[str]
    marks: int  # that stand before the pieces
    words: list[HeardWord]
    prefix: list[str]  # a mark of the target language, if any, and what was committed

    @property
    def limit(self) -> int:
        """Tokens to add at most."""
        return max(0, min(2 * len(self.words) + 8, LONGEST) - len(self.work.prefix))


@dataclass(frozen=True)
class _Found:
    """What the model wrote after a prefix, the end included where it came to it."""

    pieces: list[str]
    logits: list[Any]
    attention: list[list[float]]


class Ct2Writer:
    """Implements `Writer` (models/seam.py)."""

    provides: frozenset[Need] = frozenset({"alignment", "attention", "log-probs"})

    def __init__(self, folder: Path, source: str = "en", target: str | None = None) -> None:
        """target: None for all that the model writes. Errors as `TranslationModel`."""
        self._model = TranslationModel(folder, source, target)
        self.source, self.targets = source, self._model.targets

    def terms(self, glossary: Glossary) -> None:
        """None; InputError for any term to be written: these models cannot be pulled towards one."""
        if any(target for _, target in glossary.terms):
            raise InputError("a writer ct2:DIR knows no glossary; allowed: the model's own writer, or no glossary")

    def detokenize(self, target: str, tokens: Sequence[int]) -> str:
        """The text of tokens; one vocabulary is for all targets."""
        del target
        return self._model.text(tokens)

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        """Greedy continuations, decoded together; nothing, and finished, for a segment without words."""
        rows = [self._row(one) for one in work]
        spoken = [n for n, row in enumerate(rows) if row.words]
        found = [Hypothesis((), finished=True)] * len(rows)
        for n, hypothesis in zip(spoken, self._written([rows[n] for n in spoken]), strict=True):
            found[n] = hypothesis
        return found

    def _row(self, work: Write) -> _Row:
        spelled = [(piece, word) for word in work.words for piece in self._model.spell(word.text)][:LONGEST]
        source, marks = self._model.sentence([piece for piece, _ in spelled], work.target)
        committed = [self._model.pieces[token] for token in work.prefix]
        prefix = [*self._model.prefixes[work.target], *committed]
        return _Row(work, source, marks, [word for _, word in spelled], prefix)

    def _written(self, rows: Sequence[_Row]) -> list[Hypothesis]:
        """Decode, and where a row went on with a committed word, once more from the likeliest new word."""
        found = self._decoded(rows, [row.prefix for row in rows])
        firsts = [self._new_word(row, one) for row, one in zip(rows, found, strict=True)]
        again = [n for n, first in enumerate(firsts) if first]
        anew = self._decoded([rows[n] for n in again], [[*rows[n].prefix, firsts[n]] for n in again])
        for n, one in zip(again, anew, strict=True):
            found[n] = one if firsts[n] != self._model.end else _Found([firsts[n]], one.logits[:1], one.attention[:1])
        return [self._hypothesis(row, one) for row, one in zip(rows, found, strict=True)]

    def _decoded(self, rows: Sequence[_Row], prefixes: Sequence[list[str]]) -> list[_Found]:
        """What stands after the prefix of each row where the model begins with `prefixes`."""
        if not rows:
            return []
        longest = max(len(row.prefix) + row.limit for row in rows) + 1  # and the end
        results = self._model.run.translate_batch(
            [row.source for row in rows], list(prefixes), beam_size=1, max_decoding_length=longest, disable_unk=True,
            return_end_token=True, return_attention=True, return_logits_vocab=True, max_input_length=0,
        )  # fmt: skip
        starts = [len(row.prefix) for row in rows]
        return [
            _Found(one.hypotheses[0][at:], one.logits[0][at:], one.attention[0][at:])
            for one, at in zip(results, starts, strict=True)
        ]

    def _new_word(self, row: _Row, found: _Found) -> str:
        """The likeliest piece that begins a word, or the end, where what was found begins within a word; else ""."""
        model = self._model
        if not row.work.prefix or not found.pieces or found.pieces[0] == model.end:
            return ""
        if model.starts_word[model.ids[found.pieces[0]]]:
            return ""
        scores = np.where(model.may_follow, _row_of(found.logits[0]), -np.inf)
        return model.pieces[int(scores.argmax())]

    def _hypothesis(self, row: _Row, found: _Found) -> Hypothesis:
        """Tokens up to the end, the limit or the first round of a loop, with where they were read from."""
        model, prefix = self._model, row.work.prefix
        finished = model.end in found.pieces
        tokens = [model.ids[piece] for piece in found.pieces[: found.pieces.index(model.end) if finished else None]]
        loops = ((n, looping([*prefix, *tokens[:n]])) for n in range(1, len(tokens) + 1))
        loop = next(((n, size) for n, size in loops if size), None)
        if loop is not None:
            tokens, finished = tokens[: max(0, loop[0] - loop[1])], True
        if len(tokens) > row.limit:
            tokens, finished = tokens[: row.limit], False
        weights = np.array([one[row.marks : row.marks + len(row.words)] for one in found.attention[: len(tokens)]])
        alignment = tuple(row.words[place].last_frame for place in weights.argmax(1)) if tokens else ()
        ends = [n for n in range(1, len(tokens)) if model.starts_word[tokens[n]]]
        ends += [len(tokens)] if finished and tokens else []
        attention = _over_frames(weights, row) if row.work.decoding.attention and tokens else ()
        log_probs = tuple(map(_log_prob, found.logits, tokens))
        return Hypothesis(tuple(tokens), log_probs, alignment, attention, tuple(ends), finished)


def _row_of(logits: Any) -> np.ndarray:
    """What the model says of each piece, as an array (pieces,)."""
    return np.array(logits, np.float32).reshape(-1)


def _log_prob(logits: Any, token: int) -> float:
    scores = _row_of(logits)
    top = float(scores.max())
    return float(scores[token]) - top - float(np.log(np.exp(scores - top).sum()))


def _over_frames(weights: np.ndarray, row: _Row) -> tuple[tuple[float, ...], ...]:
    """Weights (tokens, pieces) as weights over the segment's frames, each piece's on the frames of its word."""
    frames = np.zeros((len(row.words), row.work.frames), np.float32)
    for line, word in zip(frames, row.words, strict=True):
        first = max(0, word.first_frame)
        line[first : word.last_frame + 1] = 1 / max(1, word.last_frame + 1 - first)
    spread = weights @ frames
    return tuple(map(tuple, (spread / np.maximum(spread.sum(1, keepdims=True), 1e-9)).tolist()))
