"""From label probabilities to words: a CTC beam search through a lexicon with a language model, frame by frame.

Token passing (Young et al. 1989) over CTC's topology (Graves et al. 2006): a hypothesis is a place in the lexicon's
tree, the label of its last frame (blank or not decides whether the same label again is a repetition), and the language
model's context; of equal ones the best stays (Viterbi). Words enter the score with the model's best guess below the
current node and are corrected where they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamst.models.lexicon import ROOT, Lexicon
from streamst.models.ngram import BEGIN, NGram

BLANK = 0
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchConfig:
    """Weights and widths of the search."""

    language_weight: float = 0.8
    word_bonus: float = 0.5
    blank_penalty: float = 0.0  # taken from the blank's log-probability
    beam: int = 120
    threshold: float = 12.0  # hypotheses this much worse than the best are dropped
    agreeing: float = 8.0  # words are certain when all hypotheses within this of the best share them


@dataclass(frozen=True)
class Word:
    """A recognised word and its first and last frame."""

    number: int
    first: int
    last: int


@dataclass(frozen=True)
class SearchState:
    """The hypotheses of one stream; arrays have one entry each."""

    node: Ints
    label: Ints
    first: Ints  # language model context, older word
    second: Ints
    score: Floats
    begun: Ints  # frame in which the current word began
    history: Ints  # index into `links`, -1 none
    links: tuple[tuple[int, Word], ...] = ()  # (the link before, a word)
    frame: int = 0
    certain: tuple[Word, ...] = ()  # what no later frame changes


class WordSearch:
    """Stateless; one for all streams."""

    def __init__(self, lexicon: Lexicon, model: NGram, config: SearchConfig, silence: int = BLANK) -> None:
        """silence: a label that means the same as the blank."""
        self.lexicon, self.model, self.config, self.silence = lexicon, model, config, silence
        self._ahead = config.language_weight * lexicon.best_below(model.unigram)

    def init_state(self, frame: int = 0) -> SearchState:
        """Nothing heard."""
        one = np.zeros(1, np.int64)
        return SearchState(one + ROOT, one, one + BEGIN, one + BEGIN, np.zeros(1, np.float32), one, one - 1, (), frame)

    def step(self, log_probs: Floats, state: SearchState) -> SearchState:
        """Hear frames (T, labels)."""
        links = list(state.links)
        for row in log_probs:
            state = self._frame(row, state, links)
        return self._settle(replace(state, links=tuple(links)))

    def words(self, state: SearchState, final: bool = False) -> tuple[Word, ...]:
        """The best hypothesis' words, the certain ones first; `final`: of those between words, if there are any."""
        score = state.score
        if final and (state.node == ROOT).any():
            score = np.where(state.node == ROOT, score, -np.inf)
        return (*state.certain, *self._trace(state, int(score.argmax())))

    def _frame(self, row: Floats, state: SearchState, links: list[tuple[int, Word]]) -> SearchState:
        c, lexicon = self.config, self.lexicon
        blank = row[BLANK] if self.silence == BLANK else np.logaddexp(row[BLANK], row[self.silence])
        n = len(state.node)
        every = np.arange(n)
        repeating = every[state.label != BLANK]
        starts, ends = lexicon.child_start[state.node], lexicon.child_start[state.node + 1]
        parent = np.repeat(every, ends - starts)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(ends - starts) - (ends - starts), ends - starts)
        child = lexicon.children[starts[parent] + offset]
        into = lexicon.label[child]
        grown = state.score[parent] + row[into] + self._ahead[child] - self._ahead[state.node[parent]]
        floor = max(state.score.max() + max(blank - c.blank_penalty, row[BLANK]), grown.max()) - c.threshold
        fit = (grown > floor) & (into != state.label[parent])
        parent, child, into, grown = parent[fit], child[fit], into[fit], grown[fit]
        begun = np.where(state.node[parent] == ROOT, state.frame, state.begun[parent])
        # Words that end in the nodes just entered.
        counts = lexicon.word_start[child + 1] - lexicon.word_start[child]
        source = np.repeat(np.arange(len(child)), counts)
        within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        word = lexicon.endings[lexicon.word_start[child[source]] + within]
        up = parent[source]
        language = self.model.score(state.first[up], state.second[up], word)
        said = grown[source] + c.language_weight * language - self._ahead[child[source]] + self._ahead[ROOT] + c.word_bonus
        shorter = self.model.shorten(state.second[up], word)
        node = np.concatenate([state.node, state.node[repeating], child, np.full(len(word), ROOT)])
        label = np.concatenate([np.zeros(n, np.int64), state.label[repeating], into, into[source]])
        first = np.concatenate([state.first, state.first[repeating], state.first[parent], shorter])
        second = np.concatenate([state.second, state.second[repeating], state.second[parent], word])
        score = np.concatenate([
            state.score + (blank - c.blank_penalty), state.score[repeating] + row[state.label[repeating]], grown, said,
        ])  # fmt: skip
        begin = np.concatenate([state.begun, state.begun[repeating], begun, begun[source]])
        history = np.concatenate([state.history, state.history[repeating], state.history[parent], state.history[up]])
        ended = np.concatenate([np.full(n + len(repeating) + len(child), -1), word])
        good = np.flatnonzero(score > score.max() - c.threshold)
        order = good[np.argsort(-score[good], kind="stable")]
        key = ((first[order] * self.model.words + second[order]) * len(lexicon.label) + node[order]) * 64 + label[order]
        kept = order[np.sort(np.unique(key, return_index=True)[1])][: c.beam]
        history = history[kept]
        for place in np.flatnonzero(ended[kept] >= 0):
            spoken = Word(int(ended[kept[place]]), int(begin[kept[place]]), state.frame)
            links.append((int(history[place]), spoken))
            history[place] = len(links) - 1
        return SearchState(
            node[kept], label[kept], first[kept], second[kept], score[kept].astype(np.float32), begin[kept], history,
            (), state.frame + 1, state.certain,
        )  # fmt: skip

    def _settle(self, state: SearchState) -> SearchState:
        """Move the words that all good hypotheses share to `certain`, drop the others, and forget unused links."""
        near = np.flatnonzero(state.score >= state.score.max() - self.config.agreeing)
        traces = [self._trace(state, int(i)) for i in near]
        shared = 0
        for column in zip(*traces, strict=False):
            if any(word.number != column[0].number for word in column):
                break
            shared += 1
        best = traces[int(state.score[near].argmax())]
        links: list[tuple[int, Word]] = []
        kept, history = [], []
        known: dict[tuple[int, Word], int] = {}
        for i in range(len(state.node)):
            trace = self._trace(state, i)
            if [w.number for w in trace[:shared]] != [w.number for w in best[:shared]]:
                continue
            at = -1
            for word in trace[shared:]:
                if (at, word) not in known:
                    known[at, word] = len(links)
                    links.append((at, word))
                at = known[at, word]
            kept.append(i)
            history.append(at)
        pick = np.array(kept)
        return SearchState(
            state.node[pick], state.label[pick], state.first[pick], state.second[pick],
            state.score[pick] - state.score.max(), state.begun[pick], np.array(history, np.int64), tuple(links),
            state.frame, (*state.certain, *best[:shared]),
        )  # fmt: skip

    def _trace(self, state: SearchState, index: int) -> list[Word]:
        words: list[Word] = []
        at = int(state.history[index])
        while at >= 0:
            at, word = state.links[at]
            words.append(word)
        return words[::-1]


def spell(words: Sequence[Word], lexicon: Lexicon) -> str:
    """The text of `words`."""
    return " ".join(lexicon.words[word.number] for word in words)
