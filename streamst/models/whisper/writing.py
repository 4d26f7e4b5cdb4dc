"""Greedy decoding over growing memories, of several speakers together.

What was written of a draft after the chunk before is read at once and kept as far as it would be written again, so that
a chunk costs about one step of the decoder more than it has new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from streamst.models.whisper.decoder import Said
from streamst.models.whisper.encoder import FRAME_MS

if TYPE_CHECKING:
    from streamst.models.whisper.recogniser import Ear, WhisperRecogniser

MOST_TOKENS = 200  # of an utterance


@dataclass(frozen=True)
class Token:
    """A token and the frame of the utterance it was read at."""

    number: int
    frame: int


@dataclass(frozen=True)
class Draft:
    """What was written after the certain tokens; said: of all that was read; read: how many tokens of it come before
    the draft's."""

    tokens: tuple[Token, ...]
    said: Said
    read: int


class Writing:
    """One pass for speakers whose memories have grown."""

    def __init__(self, ear: WhisperRecogniser, states: Sequence[Ear]) -> None:
        self.ear, self.states, self.config = ear, states, ear.config
        self.heard = [state.memory.shape[2] for state in states]
        whole = [
            torch.cat([s.memory, ear.silent[:, :, n : n + self.config.fill]], 2)
            for s, n in zip(states, self.heard, strict=True)
        ]
        longest = max(one.shape[2] for one in whole)
        self.memory = torch.stack([F.pad(one, (0, 0, 0, longest - one.shape[2])) for one in whole])
        lengths = torch.tensor([one.shape[2] for one in whole], device=self.memory.device)
        self.unheard = torch.arange(longest, device=self.memory.device) >= lengths[:, None]
        self.tokens: list[list[Token]] = [[] for _ in states]
        self.said = [state.said for state in states]
        self.read = [0] * len(states)
        words = torch.zeros(ear.decoder.config.tokens, device=self.memory.device)
        words[ear.vocabulary.end + 1 :] = float("-inf")
        words[list(self.config.suppressed)] = float("-inf")
        self._words = words

    @torch.inference_mode()
    def run(self) -> list[Draft]:
        """A draft of each speaker."""
        open_rows = list(range(len(self.states)))
        after = [[t.number for t in state.draft] for state in self.states]  # read on trust
        tokens = []
        for row, state in enumerate(self.states):
            start = [state.certain[-1].number] if state.certain else list(self.config.prompt)
            self.read[row] = self.said[row].keys.shape[2] + len(start)
            tokens.append([*start, *after[row]])
        while open_rows:
            y, said, weights = self.ear.decoder.step(
                [tokens[r] for r in open_rows], [self.said[r] for r in open_rows], self.memory[open_rows],
                self.unheard[open_rows],
            )  # fmt: skip
            going = []
            for place, row in enumerate(open_rows):
                count = len(after[row]) + 1
                if self._take(row, after[row], y[place, -count:], weights[place, -count:]):
                    going.append(row)
                    tokens[row], after[row] = [self.tokens[row][-1].number], []
                self.said[row] = said[place].first(self.read[row] + max(0, len(self.tokens[row]) - 1))
            open_rows = going
        rows = zip(self.tokens, self.said, self.read, strict=True)
        return [Draft(tuple(tokens), said, read) for tokens, said, read in rows]

    def _take(self, row: int, trusted: Sequence[int], states: Tensor, weights: Tensor) -> bool:
        """Write the likeliest tokens after each of the places (T, D) as long as they are the `trusted` ones; False at
        the end."""
        fresh = not self.states[row].certain and not self.tokens[row]
        allowed = self._words.repeat(len(states), 1)
        if fresh:
            allowed[0, list(self.config.suppressed_first)] = float("-inf")
        elif not self.tokens[
            row
        ]:  # what is certain stays: a new word comes after it, never a piece that would change it
            allowed[0, : self.ear.vocabulary.end].masked_fill_(self.ear.inner, float("-inf"))
        best = self.ear.decoder.best(states, allowed).tolist()
        frames = weights[:, : self.heard[row]].argmax(-1).tolist()
        for place, (token, frame) in enumerate(zip(best, frames, strict=True)):
            if token == self.ear.vocabulary.end or self._astray(row, token, frame) or self._enough(row, token):
                return False
            self.tokens[row].append(Token(token, frame))
            if place == len(trusted) or token != trusted[place]:
                break
        return True

    def _astray(self, row: int, token: int, frame: int) -> bool:
        """Whether a word is read where nobody spoke any more, or anything far before what was read already."""
        state = self.states[row]
        read = max((t.frame for t in (*state.certain, *self.tokens[row])), default=0)
        spoken = state.sound - state.origin + self.config.after
        return frame < read - self.config.back or (frame > spoken and self.ear.vocabulary.starts_word[token])

    def _enough(self, row: int, token: int) -> bool:
        """Whether `token` is one more than anybody says in that time, or begins a third round of the same."""
        numbers = [t.number for t in (*self.states[row].certain, *self.tokens[row])] + [token]
        most = 8 + self.heard[row] * FRAME_MS / 1000 * self.config.most_per_s
        return len(numbers) > min(most, MOST_TOKENS) or circles(numbers)


def circles(numbers: Sequence[int]) -> bool:
    """Whether the end goes round: up to eight tokens, three times running."""
    return any(
        len(numbers) >= 3 * size and numbers[-size:] == numbers[-2 * size : -size] == numbers[-3 * size : -2 * size]
        for size in range(1, 9)
    )
