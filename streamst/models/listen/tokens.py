"""Source tokens of a CTC, with their frames, and the words that they spell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamst.models.words import HeardWord
from streamst.text import Tokenizer

from .lexicon import BLANK
from .spotting import Spotted


@dataclass(frozen=True)
class HeardToken:
    """One token and the frames in which it was heard, counted from the stream's start."""

    token: int
    first: int
    last: int


def collapse(
    tokens: Sequence[HeardToken], best: Sequence[int], offset: int, last: int
) -> tuple[tuple[HeardToken, ...], int]:
    """`tokens` and those of the next frames, the first of which is number `offset`: a token is a run of frames with the
    same best label. last: the best label before; also the second of what is returned."""
    found = list(tokens)
    for frame, label in enumerate(best, offset):
        if label != BLANK and label == last and found:
            found[-1] = replace(found[-1], last=frame)
        elif label not in (BLANK, last):  # a run that the segment before began is that segment's token
            found.append(HeardToken(label, frame, frame))
        last = label
    return tuple(found), last


def put(
    tokens: tuple[HeardToken, ...], found: Sequence[Spotted], sources: Sequence[tuple[int, ...]]
) -> tuple[HeardToken, ...]:
    """`tokens` with the terms that were spotted in place of what was heard in their frames; sources: of each term."""
    for spotted in found:
        first, last = spotted.frames[0], spotted.last
        inside = [i for i, token in enumerate(tokens) if first <= token.first <= last]
        wanted = sources[spotted.term]
        if tuple(tokens[i].token for i in inside) == wanted:
            continue
        at = inside[0] if inside else sum(token.first < first for token in tokens)
        fresh = tuple(HeardToken(t, frame, frame) for t, frame in zip(wanted, spotted.frames, strict=True))
        tokens = (*tokens[:at], *fresh, *tokens[at + len(inside) :])
    return tokens


def spelled(tokens: Sequence[HeardToken], tokenizer: Tokenizer) -> list[tuple[HeardWord, int]]:
    """The words of the tokens, each with the place of its first token; those without a letter are left out."""
    starts = [i for i, token in enumerate(tokens) if i == 0 or tokenizer.starts_word[token.token]]
    words = []
    for start, end in zip(starts, [*starts, len(tokens)][1:], strict=True):
        text = tokenizer.decode([token.token for token in tokens[start:end]])
        if text:
            words.append((HeardWord(text, tokens[start].first, tokens[end - 1].last, end - start), start))
    return words
