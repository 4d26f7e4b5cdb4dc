"""The writer alone, on correct text: whole sentences, or words that come one after the other under a policy.

A sentence is read as the recogniser would write it, and a word lasts `WORD_MS`: policies that look at times see an even
speaker. Many sentences are decoded together, as the engine does it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from streamst.errors import InputError
from streamst.evaluate.log.pairs import Pair, TextRun, Translation
from streamst.languages.catalog import LANGUAGES
from streamst.models.seam import ATTENTION, Hypothesise
from streamst.models.translator import HeardToken, SpeechTranslator
from streamst.policies.base import Decoding, Heard, Hypothesis, Need, Policy, Said, missing_needs, rebase, whole_words

WORD_MS = 320.0  # 190 words a minute
TOGETHER = 32  # sentences
OF_AUDIO: frozenset[Need] = frozenset({"transducer", "target-ctc"})  # read off the recogniser's frames


def write_whole(translator: SpeechTranslator, target: str, pairs: Sequence[Pair]) -> TextRun:
    """Each sentence written when all of it was read."""
    pen = Pen(translator, target)
    readers = [Reader(pen, pair.source, None) for pair in pairs]
    for at in range(0, len(readers), TOGETHER):
        _read_on(pen, readers[at : at + TOGETHER], [len(one.words) for one in readers[at : at + TOGETHER]])
    return TextRun(tuple(one.written() for one in readers), pen.tokens, pen.compute_s)


def write_early(translator: SpeechTranslator, target: str, pairs: Sequence[Pair], policy: Policy) -> TextRun:
    """Each sentence written while its words come, when `policy` says so. InputError for one that needs the audio."""
    pen = Pen(translator, target)
    missing = missing_needs(policy, pen.provides)
    if missing:
        raise InputError(f"policy {policy} needs {', '.join(sorted(missing))}, which a writer alone does not have")
    readers = [Reader(pen, pair.source, policy) for pair in pairs]
    for at in range(0, len(readers), TOGETHER):
        group = readers[at : at + TOGETHER]
        for count in range(1, 1 + max(len(one.words) for one in group)):
            reading = [one for one in group if count <= len(one.words)]
            _read_on(pen, reading, [count] * len(reading))
    return TextRun(tuple(one.written() for one in readers), pen.tokens, pen.compute_s)


def _read_on(pen: Pen, readers: Sequence[Reader], counts: Sequence[int]) -> None:
    """Every reader reads as far as `counts` [words]; those who then want to write do it together."""
    asked = [(one, work) for one, n in zip(readers, counts, strict=True) if (work := one.read(n)) is not None]
    for (one, _), candidate in zip(asked, pen.write([work for _, work in asked]), strict=True):
        one.take(candidate)


class Pen:
    """A translator's writer, asked about words."""

    def __init__(self, translator: SpeechTranslator, target: str) -> None:
        """InputError for a target that the translator does not have."""
        self.translator = translator
        self.provides = translator.provides - OF_AUDIO
        self.frame_ms = translator.frame_ms
        self.frames_per_word = max(1, round(WORD_MS / translator.frame_ms))
        self.tokens, self.compute_s = 0, 0.0
        self._fresh = translator.init_state(320, target)

    def words(self, text: str) -> tuple[str, ...]:
        """What the recogniser would write of a sentence."""
        language = LANGUAGES.get(self.translator.source)
        return tuple((language.spoken(text) if language else text).split())

    def pieces(self, word: str, number: int) -> tuple[HeardToken, ...]:
        """The source tokens of word `number`, from 0, its frames shared out among them."""
        ids = self.translator.source_tokenizer.encode(word)
        share = self.frames_per_word / max(1, len(ids))
        first = [self.frames_per_word * number + int(share * i) for i in range(len(ids) + 1)]
        return tuple(HeardToken(token, first[i], max(first[i], first[i + 1] - 1)) for i, token in enumerate(ids))

    def work(
        self, pieces: tuple[HeardToken, ...], heard: Heard, prefix: tuple[int, ...], wish: Decoding
    ) -> Hypothesise:
        """The work of going on from `prefix` when `pieces` were read."""
        pooled = self._fresh.pooled.new_zeros(len(pieces), self._fresh.pooled.shape[1])
        state = replace(self._fresh, tokens=pieces, pooled=pooled, frames=heard.frames)
        return Hypothesise(state, prefix, heard.final, wish)

    def write(self, work: Sequence[Hypothesise]) -> list[Hypothesis]:
        """Do the work of several sentences together."""
        if not work:
            return []
        begun = time.perf_counter()
        found = self.translator.hypothesise_all(work)
        self.compute_s += time.perf_counter() - begun
        self.tokens += sum(len(one.tokens) for one in found)
        return found


class Reader:
    """One sentence: how far it was read, and what was written. Commits as a session does."""

    def __init__(self, pen: Pen, text: str, policy: Policy | None) -> None:
        """policy: None writes at the end only."""
        self.words = pen.words(text)
        self._pen, self._policy = pen, policy
        self._pieces = [pen.pieces(word, number) for number, word in enumerate(self.words)]
        self._heard = Heard(0, pen.frame_ms)
        self._said = Said()
        self._prefix: tuple[int, ...] = ()
        self._delays: list[int] = []

    def read(self, count: int) -> Hypothesise | None:
        """`count` words are known; the work to do, None where the policy wants to read on."""
        pieces = tuple(piece for word in self._pieces[:count] for piece in word)
        final = count == len(self.words)
        self._heard = Heard(count * self._pen.frames_per_word, self._pen.frame_ms, count, len(pieces), final=final)
        decoding = self._policy.decoding if self._policy else ATTENTION
        if self._policy and not final and not self._policy.wants_decode(self._heard, self._said):
            return None
        if decoding.bias and self._said.previous:
            decoding = replace(decoding, shown=self._said.previous[-1].tokens)
        return self._pen.work(pieces, self._heard, self._prefix, decoding)

    def take(self, candidate: Hypothesis) -> None:
        """Commit what the policy says of `candidate`; all of it at the end."""
        policy, heard, said = self._policy, self._heard, self._said
        count, keep = len(candidate.tokens), 0
        if policy is not None and not heard.final:
            keep = max(policy.history, 1 if policy.decoding.bias else 0)
            count = whole_words(candidate, policy.decide(heard, said, candidate).commit)
            if not policy.history and candidate.finished and count == len(candidate.tokens):
                count = whole_words(candidate, count - 1)  # the sentence goes on: its end was a guess
        kept = [*said.previous, candidate][-keep:] if keep else []
        rebased = (rebase(one, candidate.tokens[:count]) for one in kept)
        self._prefix = (*self._prefix, *candidate.tokens[:count])
        self._said = Said(
            said.words + sum(end <= count for end in candidate.word_ends),
            len(self._prefix),
            heard,
            tuple(one for one in rebased if one is not None),
            candidate.alignment[count - 1] if count and len(candidate.alignment) >= count else said.aligned,
        )
        written = len(self._text().split())
        self._delays += [heard.source_words] * (written - len(self._delays))

    def written(self) -> Translation:
        """All of it."""
        return Translation(" ".join(self._text().split()), tuple(self._delays), len(self.words))

    def _text(self) -> str:
        return self._pen.translator.detokenize(self._prefix)
