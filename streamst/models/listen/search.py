"""From label probabilities to words: a CTC beam search through a lexicon with a language model, frame by frame.

Token passing (Young et al. 1989) over CTC's topology (Graves et al. 2006): a hypothesis is a place in the lexicon's
tree, the label of its last frame (blank or not decides whether the same label again is a repetition), and the language
model's context; of equal ones the best stays (Viterbi). Words enter the score with the model's best guess below the
current node and are corrected where they end.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from streamst.errors import CheckpointError

from .lexicon import BLANK, ROOT, Lexicon
from .ngram import BEGIN, NGram

QUIET = -1e-3  # log-probability of the blank from which a frame can say nothing else
FEW = 100  # favoured words that gain all they can
SHARED = 0.5  # of ln(how many times more there are) that each of more words loses [nats]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchConfig:
    """Weights and widths of the search."""

    language_weight: float = 0.7
    word_bonus: float = 0.0
    blank_penalty: float = 2.0  # taken from the blank's log-probability
    beam: int = 120
    threshold: float = 12.0  # hypotheses this much worse than the best are dropped
    doubt: float = 8.0  # a segment's first words must be this much better than silence
    agreeing: float = 3.0  # words are certain when all hypotheses within this of the best share them


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
    frame: int = 0  # the next one
    certain: tuple[Word, ...] = ()  # what no later frame changes


class WordSearch:
    """Stateless; one for all streams."""

    def __init__(
        self,
        lexicon: Lexicon,
        model: NGram,
        config: SearchConfig,
        silence: int = BLANK,
        gains: Floats | None = None,
    ) -> None:
        """silence: a label that means the same as the blank. gains: (words,) what each word's score gains [nats]."""
        self.lexicon, self.model, self.config, self.silence = lexicon, model, config, silence
        self._gains = np.zeros(len(lexicon.words), np.float32) if gains is None else gains
        self._ahead = lexicon.best_below(config.language_weight * model.unigram + self._gains)

    def favouring(self, words: Collection[str], gain: float) -> WordSearch:
        """The same search in which `words`, as far as the lexicon has them, gain `gain` nats each.

        Each gains less where they are many: the more there are, the less likely is any one of them.
        """
        favoured = frozenset(words)
        each = max(0.0, gain - SHARED * math.log(max(1.0, len(favoured) / FEW)))
        gains = np.array([each * (word in favoured) for word in self.lexicon.words], np.float32)
        return WordSearch(self.lexicon, self.model, self.config, self.silence, gains)

    @classmethod
    def load(cls, path: Path, config: SearchConfig) -> WordSearch:
        """Lexicon and language model from a file that `save_words` wrote; CheckpointError when it is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            lexicon = Lexicon.from_arrays(arrays)
            return cls(lexicon, NGram.from_arrays(arrays), config, int(arrays["silence"]))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise CheckpointError(f"{path} holds no lexicon and language model: {error}") from error

    def save(self, path: Path) -> None:
        """What `load` reads."""
        silence = np.array(self.silence)
        np.savez_compressed(path, silence=silence, **self.lexicon.arrays(), **self.model.arrays())  # type: ignore[arg-type]

    def init_state(self, frame: int = 0, certain: tuple[Word, ...] = ()) -> SearchState:
        """Nothing heard since `frame`, but for the words `certain`."""
        one = np.zeros(1, np.int64)
        score = np.zeros(1, np.float32)
        return SearchState(one + ROOT, one, one + BEGIN, one + BEGIN, score, one + frame, one - 1, (), frame, certain)

    def step(self, log_probs: Floats, state: SearchState) -> SearchState:
        """Hear frames (T, labels)."""
        links = list(state.links)
        for row in log_probs:
            state = self._frame(row, state, links)
        return self._settle(replace(state, links=tuple(links)))

    def words(self, state: SearchState) -> tuple[Word, ...]:
        """The complete words of the best hypothesis, the certain ones first."""
        if self._doubtful(state):
            return ()
        return (*state.certain, *self._trace(state, int(state.score.argmax())))

    def decide(self, state: SearchState) -> SearchState:
        """Speech has paused: the best hypothesis that is between words is the truth."""
        between = state.node == ROOT
        if not between.any() or self._doubtful(state):
            return self.init_state(state.frame, state.certain)
        best = int(np.where(between, state.score, -np.inf).argmax())
        alike = np.flatnonzero(between & (state.second == state.second[best]) & (state.first == state.first[best]))
        said = [w.number for w in self._trace(state, best)]
        kept = np.array([i for i in alike if [w.number for w in self._trace(state, int(i))] == said])
        return self._forget(state, kept, tuple(self._trace(state, best)), len(said))

    def next_segment(self, state: SearchState) -> SearchState:
        """Forget the words; a word that is being heard goes on."""
        best = self._trace(state, int(state.score.argmax()))
        said = [w.number for w in best]
        kept = [i for i in range(len(state.node)) if [w.number for w in self._trace(state, i)] == said]
        return replace(self._forget(state, np.array(kept), tuple(best), len(said)), certain=())

    def _doubtful(self, state: SearchState) -> bool:
        """Whether nothing is certain, and silence explains what was heard nearly as well as words do."""
        silent = (state.node == ROOT) & (state.history < 0)
        if state.certain or not silent.any():
            return False
        return bool(state.score.max() - state.score[silent].max() < self.config.doubt)

    def _frame(self, row: Floats, state: SearchState, links: list[tuple[int, Word]]) -> SearchState:
        c, lexicon = self.config, self.lexicon
        blank = row[BLANK] if self.silence == BLANK else np.logaddexp(row[BLANK], row[self.silence])
        if blank > QUIET:
            return replace(state, label=np.zeros_like(state.label), frame=state.frame + 1)
        n = len(state.node)
        every = np.arange(n)
        repeating = every[state.label != BLANK]
        starts, ends = lexicon.child_start[state.node], lexicon.child_start[state.node + 1]
        parent = np.repeat(every, ends - starts)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(ends - starts) - (ends - starts), ends - starts)
        child = lexicon.children[starts[parent] + offset]
        into = lexicon.label[child]
        grown = state.score[parent] + row[into] + self._ahead[child] - self._ahead[state.node[parent]]
        floor = (
            max(state.score.max() + max(blank - c.blank_penalty, row[BLANK]), grown.max(initial=-np.inf)) - c.threshold
        )
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
        known = (
            c.language_weight * language + self._gains[word] - self._ahead[child[source]]
        )  # in place of the best guess
        said = grown[source] + known + self._ahead[ROOT] + c.word_bonus
        shorter = self.model.shorten(state.second[up], word)
        begin_said, into_said = begun[source], into[source]
        inner = lexicon.child_start[child + 1] > lexicon.child_start[child]  # from a leaf nothing goes on
        parent, child, into, grown, begun = parent[inner], child[inner], into[inner], grown[inner], begun[inner]
        node = np.concatenate([state.node, state.node[repeating], child, np.full(len(word), ROOT)])
        label = np.concatenate([np.zeros(n, np.int64), state.label[repeating], into, into_said])
        first = np.concatenate([state.first, state.first[repeating], state.first[parent], shorter])
        second = np.concatenate([state.second, state.second[repeating], state.second[parent], word])
        score = np.concatenate([
            state.score + (blank - c.blank_penalty), state.score[repeating] + row[state.label[repeating]], grown, said,
        ])  # fmt: skip
        begin = np.concatenate([state.begun, state.begun[repeating], begun, begin_said])
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
        best = traces[int(state.score[near].argmax())][:shared]
        said = [w.number for w in best]
        every = range(len(state.node))
        kept = [i for i in every if [w.number for w in self._trace(state, i)[:shared]] == said] if said else [*every]
        return self._forget(state, np.array(kept), tuple(best), shared)

    def _forget(self, state: SearchState, kept: Ints, said: tuple[Word, ...], shared: int) -> SearchState:
        """Only the hypotheses `kept`, whose first `shared` words are `said`, which becomes certain; links that nobody
        needs are dropped."""
        links: list[tuple[int, Word]] = []
        known: dict[tuple[int, Word], int] = {}
        history = []
        for i in kept:
            at = -1
            for word in self._trace(state, int(i))[shared:]:
                if (at, word) not in known:
                    known[at, word] = len(links)
                    links.append((at, word))
                at = known[at, word]
            history.append(at)
        score = state.score[kept]
        return SearchState(
            state.node[kept], state.label[kept], state.first[kept], state.second[kept], score - score.max(),
            state.begun[kept], np.array(history, np.int64), tuple(links), state.frame, (*state.certain, *said),
        )  # fmt: skip

    def _trace(self, state: SearchState, index: int) -> list[Word]:
        words: list[Word] = []
        at = int(state.history[index])
        while at >= 0:
            at, word = state.links[at]
            words.append(word)
        return words[::-1]
