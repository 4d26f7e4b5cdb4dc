"""The writer alone, on correct text: whole sentences, or words that come one after the other under a policy.

A word lasts `FRAMES_A_WORD`: policies that look at times see an even speaker. Many sentences are decoded together, as
the engine does it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from streamst.errors import InputError
from streamst.evaluate.log.pairs import Pair, TextRun, Translation
from streamst.models.seam import ATTENTION, WORDS, HeardWord, Write, Writer
from streamst.policies.base import Heard, Hypothesis, Policy, Said, missing_needs, rebase, whole_words

FRAME_MS = 80.0
FRAMES_A_WORD = 4  # 190 words a minute
TOGETHER = 32  # sentences


def write_whole(writer: Writer, target: str, pairs: Sequence[Pair]) -> TextRun:
    """Each sentence written when all of it was read."""
    pen = Pen(writer, target)
    readers = [Reader(pen, pair.source, None) for pair in pairs]
    for at in range(0, len(readers), TOGETHER):
        _read_on(pen, readers[at : at + TOGETHER], [len(one.words) for one in readers[at : at + TOGETHER]])
    return TextRun(tuple(one.written() for one in readers), pen.tokens, pen.compute_s)


def write_early(writer: Writer, target: str, pairs: Sequence[Pair], policy: Policy) -> TextRun:
    """Each sentence written while its words come, when `policy` says so. InputError for one that needs the audio."""
    pen = Pen(writer, target)
    missing = missing_needs(policy, writer.provides | WORDS)
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
    """A writer, and how long it took for how many tokens."""

    def __init__(self, writer: Writer, target: str) -> None:
        """InputError for a target that the writer does not have."""
        if target not in writer.targets:
            raise InputError(f"target language {target!r} is not available; allowed: {', '.join(writer.targets)}")
        self.writer, self.target = writer, target
        self.tokens, self.compute_s = 0, 0.0

    def write(self, work: Sequence[Write]) -> list[Hypothesis]:
        """Do the work of several sentences together."""
        if not work:
            return []
        begun = time.perf_counter()
        found = self.writer.write_all(work)
        self.compute_s += time.perf_counter() - begun
        self.tokens += sum(len(one.tokens) for one in found)
        return found


class Reader:
    """One sentence: how far it was read, and what was written. Commits as a session does."""

    def __init__(self, pen: Pen, text: str, policy: Policy | None) -> None:
        """policy: None writes at the end only."""
        self.words = tuple(
            HeardWord(word, FRAMES_A_WORD * number, FRAMES_A_WORD * (number + 1) - 1)
            for number, word in enumerate(text.split())
        )
        self._pen, self._policy = pen, policy
        self._heard = Heard(0, FRAME_MS)
        self._said = Said()
        self._prefix: tuple[int, ...] = ()
        self._delays: list[int] = []

    def read(self, count: int) -> Write | None:
        """`count` words are known; the work to do, None where the policy wants to read on."""
        final, frames = count == len(self.words), count * FRAMES_A_WORD
        self._heard = Heard(frames, FRAME_MS, source_words=count, source_tokens=count, final=final)
        decoding = self._policy.decoding if self._policy else ATTENTION
        if self._policy and not final and not self._policy.wants_decode(self._heard, self._said):
            return None
        if decoding.bias and self._said.previous:
            decoding = replace(decoding, shown=self._said.previous[-1].tokens)
        return Write(self.words[:count], frames, self._prefix, final, self._pen.target, decoding)

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
        return self._pen.writer.detokenize(self._pen.target, self._prefix)
