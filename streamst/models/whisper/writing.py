"""Greedy decoding over growing memories, of several speakers together.

What is certain is read again after each chunk, over all that is known by now. So is the draft after the chunk before,
which is kept as far as it would be written again: a chunk costs one step of the decoder more than it has new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from streamst.models.whisper.encoder import FRAME_MS
from streamst.models.whisper.guards import Voice, circles, is_said
from streamst.models.whisper.terms import spans

if TYPE_CHECKING:
    from streamst.models.whisper.recogniser import Ear, WhisperRecogniser

MOST_TOKENS = 200  # of an utterance


@dataclass(frozen=True)
class Token:
    """A token and the frame of the utterance it was read at."""

    number: int
    frame: int
    log_prob: float = 0.0
    passes: int = 1  # in which it was written here


class Writing:
    """One pass for speakers whose memories have grown."""

    def __init__(self, ear: WhisperRecogniser, states: Sequence[Ear]) -> None:
        self.ear, self.states, self.config = ear, states, ear.config
        self.heard = [len(state.states) for state in states]
        self.memory = [
            state.memory.whole(ear.silent[:, :, n : n + self.config.fill])
            for state, n in zip(states, self.heard, strict=True)
        ]
        self.tokens: list[list[Token]] = [[] for _ in states]
        self.voices = [Voice(ear.evidence, state.states, state.loud, self.config.voice) for state in states]

    @torch.inference_mode()
    def run(self) -> list[tuple[Token, ...]]:
        """What each speaker said after the certain tokens."""
        decoder, open_rows = self.ear.decoder, list(range(len(self.states)))
        after = [[t.number for t in state.draft] for state in self.states]  # read on trust
        known = [[*self.config.prompt, *(t.number for t in state.certain)] for state in self.states]
        tokens = [[*certain, *trusted] for certain, trusted in zip(known, after, strict=True)]
        since = [self._since((*state.certain, *state.draft)) for state in self.states]
        said = [decoder.nothing_said() for _ in self.states]
        weighed = [0] * len(self.states)  # tokens of the draft that no term can replace any more
        while open_rows:
            y, grown, weights = decoder.step(
                [tokens[r] for r in open_rows], [said[r] for r in open_rows], [self.memory[r] for r in open_rows],
                [since[r] for r in open_rows],
            )  # fmt: skip
            counts = [len(after[row]) + 1 for row in open_rows]
            found = self._best(open_rows, [one[-count:] for one, count in zip(y, counts, strict=True)])
            going = []
            for place, (row, best) in enumerate(zip(open_rows, found, strict=True)):
                frames = weights[place][-counts[place] :, : self.heard[row]].argmax(-1).tolist()
                if self._take(row, after[row], best, frames):
                    going.append(row)
                    tokens[row], after[row] = [self.tokens[row][-1].number], []
                    since[row] = self._since((*self.states[row].certain, *self.tokens[row]))[-1:]
                    said[row] = grown[place].first(len(known[row]) + len(self.tokens[row]) - 1)
            open_rows = going
            if not open_rows:
                for row, state in enumerate(self.states):
                    changed = None if state.terms is None else self._weigh(row, known[row], weighed[row])
                    if changed is not None:
                        weighed[row], self.tokens[row] = len(changed), changed
                        tokens[row], after[row] = [*known[row], *(t.number for t in changed)], []
                        since[row] = self._since((*state.certain, *changed))
                        said[row] = decoder.nothing_said()
                        open_rows.append(row)
        rows = zip(self.states, self.tokens, strict=True)
        return [tuple(tokens) if self._said(row, state, tokens) else () for row, (state, tokens) in enumerate(rows)]

    def _said(self, row: int, state: Ear, tokens: Sequence[Token]) -> bool:
        """Whether a draft is one: after certain words, of a voice, or of likely words."""
        if state.certain or not tokens:
            return True
        return self.voices[row].somebody(tokens[0].frame) or is_said(tokens, self.config)

    def _since(self, tokens: Sequence[Token]) -> list[int]:
        """The frame before which each of the prompt's and then of the utterance's `tokens` must not look: far before
        what was read already, where the same words may stand."""
        read = accumulate([*(0 for _ in self.config.prompt), *(t.frame for t in tokens)], max)
        return [max(0, frame - self.config.back) for frame in read]

    def _best(self, rows: Sequence[int], states: Sequence[Tensor]) -> list[list[tuple[int, float]]]:
        """The likeliest token, and how likely it is, after each of the places (T, D) of each row."""
        allowed, at = self.ear.allowed, 0
        more: dict[int, Tensor] = {}
        for row, own in zip(rows, states, strict=True):
            if not self.tokens[row]:
                more[at] = allowed[2 if self.states[row].certain else 1]
            at += len(own)
        tokens, likely = self.ear.decoder.best(torch.cat(list(states)), allowed[0], more)
        found = zip(tokens.tolist(), likely.tolist(), strict=True)
        return [[next(found) for _ in own] for own in states]

    def _take(
        self, row: int, trusted: Sequence[int], found: Sequence[tuple[int, float]], frames: Sequence[int]
    ) -> bool:
        """Write the likeliest tokens as long as they are the `trusted` ones; False at the end."""
        fresh = not self.states[row].certain and not self.tokens[row]
        if fresh and self._nobody(row, Token(found[0][0], frames[0], found[0][1])):
            return False
        for place, ((token, likely), frame) in enumerate(zip(found, frames, strict=True)):
            if token == self.ear.vocabulary.end or self._astray(row, token, frame) or self._enough(row):
                return False
            read = (*self.states[row].certain, *self.tokens[row], Token(token, frame))
            again = circles([(t.number, t.frame) for t in read])
            if again:
                del self.tokens[row][max(0, len(self.tokens[row]) + 1 - again) :]
                return False
            kept = place < len(trusted) and token == trusted[place]
            passes = self.states[row].draft[place].passes + 1 if kept else 1
            self.tokens[row].append(Token(token, frame, likely, passes))
            if place == len(trusted) or token != trusted[place]:
                break
        return True

    def _weigh(self, row: int, known: Sequence[int], start: int) -> list[Token] | None:
        """The draft up to a term and with it, where the term is nearly as likely as the doubtful words from token
        `start` on that are spelled like it; None where none is."""
        terms, written, vocabulary = self.states[row].terms, self.tokens[row], self.ear.vocabulary
        assert terms is not None
        begins = [at for at, t in enumerate(written) if at >= start and (vocabulary.starts_word[t.number] or not at)]
        for first, end in spans(list(pairwise([*begins, len(written)]))):
            span = written[first:end]
            if min(t.log_prob for t in span) > self.config.doubtful:
                continue
            near = terms.near(vocabulary.text([t.number for t in span]), self.config.alike)
            spellings = [tokens for term in near for tokens in term.spellings]
            if not spellings:
                continue
            before = [*known, *(t.number for t in written[:first])]
            read = self._read(row, before, spellings, self._since((*self.states[row].certain, *written[:first])))
            scores = [sum(t.log_prob for t in one) + self.config.bonus * len(one) for one in read]
            best = max(range(len(read)), key=scores.__getitem__)
            if scores[best] >= sum(t.log_prob for t in span):
                return [*written[:first], *(Token(t.number, t.frame) for t in read[best])]
        return None

    def _read(
        self, row: int, before: Sequence[int], texts: Sequence[Sequence[int]], since: Sequence[int]
    ) -> list[list[Token]]:
        """Each of `texts` after the tokens `before`, which look from the frames `since` on, with how likely it is."""
        count, decoder = len(texts), self.ear.decoder
        rows = [[*before, *text[:-1]] for text in texts]
        y, _, weights = decoder.step(
            rows, [decoder.nothing_said()] * count, [self.memory[row]] * count,
            [[*since, *([since[-1]] * (len(text) - 1))] for text in texts],
        )  # fmt: skip
        found = []
        for place, text in enumerate(texts):
            likely = decoder.likelihoods(y[place][len(before) - 1 :], text).tolist()
            frames = weights[place][len(before) - 1 :, : self.heard[row]].argmax(-1).tolist()
            found.append([Token(*one) for one in zip(text, frames, likely, strict=True)])
        return found

    def _nobody(self, row: int, first: Token) -> bool:
        """Whether an utterance that begins so is none: an unlikely word, the more so where the decoder looks at nothing
        but the first frames, and no voice is heard there."""
        c = self.config
        if self.voices[row].somebody(first.frame):
            return False
        return first.log_prob < (c.unlikely_at_once if first.frame < c.at_once else c.unlikely)

    def _astray(self, row: int, token: int, frame: int) -> bool:
        """Whether a word is read where nobody spoke any more, or where it was no voice that sounded."""
        state = self.states[row]
        late = frame > state.sound - state.origin + self.config.after
        return self.ear.vocabulary.starts_word[token] and (late or self.voices[row].nobody(frame))

    def _enough(self, row: int) -> bool:
        """Whether one more token is more than anybody says in that time."""
        most = 8 + self.heard[row] * FRAME_MS / 1000 * self.config.most_per_s
        return len(self.states[row].certain) + len(self.tokens[row]) + 1 > min(most, MOST_TOKENS)
