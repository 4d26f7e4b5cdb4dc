"""From label probabilities to words: a CTC beam search through a lexicon with a language model, frame by frame.

Token passing (Young et al. 1989) over CTC's topology (Graves et al. 2006): a hypothesis is a place in the lexicon's
tree, the label of its last frame (blank or not decides whether the same label again is a repetition), and the language
model's context; of equal ones the best stays (Viterbi). Words enter the score with the model's best guess below the
current node and are corrected where they end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
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


class _Grown(NamedTuple):
    """Hypotheses one frame longer; arrays have one entry each."""

    parent: Ints  # the hypothesis it comes from
    node: Ints
    label: Ints
    score: Floats
    begun: Ints

    def select(self, which: NDArray[np.bool_]) -> _Grown:
        return _Grown(self.parent[which], self.node[which], self.label[which], self.score[which], self.begun[which])

    @staticmethod
    def joined(parts: Sequence[_Grown]) -> _Grown:
        return _Grown(
            np.concatenate([one.parent for one in parts]), np.concatenate([one.node for one in parts]),
            np.concatenate([one.label for one in parts]), np.concatenate([one.score for one in parts]),
            np.concatenate([one.begun for one in parts]),
        )  # fmt: skip


class _Ended(NamedTuple):
    """Hypotheses in which a word ended, with it and the older word of their new context."""

    grown: _Grown
    word: Ints
    shorter: Ints


def _spread(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Ranges one after the other: of each place in them, the number of its range and the place."""
    sizes = ends - starts
    number = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(number)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return number, starts[number] + within


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
        """One frame (labels,) more; words that end in it are appended to `links`."""
        silent = row[BLANK] if self.silence == BLANK else np.logaddexp(row[BLANK], row[self.silence])
        if silent > QUIET:
            return replace(state, label=np.zeros_like(state.label), frame=state.frame + 1)
        blank = silent - self.config.blank_penalty
        repeating = np.flatnonzero(state.label != BLANK)
        at = self._enter(row, state, max(blank, row[BLANK]))
        said = self._end_words(state, at)
        lexicon = self.lexicon
        inner = lexicon.child_start[at.node + 1] > lexicon.child_start[at.node]  # from a leaf nothing goes on
        every = (  # of a blank, of a label that goes on, into a node, out of a word
            _Grown(
                np.arange(len(state.node)), state.node, np.zeros_like(state.label), state.score + blank, state.begun
            ),
            _Grown(
                repeating, state.node[repeating], state.label[repeating],
                state.score[repeating] + row[state.label[repeating]], state.begun[repeating],
            ),
            at.select(inner),
            said.grown,
        )  # fmt: skip
        parent, node, label, score, begun = _Grown.joined(every)
        first, second, ended = state.first[parent], state.second[parent], np.full(len(parent), -1)
        words = len(said.word)
        if words:
            first[-words:], second[-words:], ended[-words:] = said.shorter, said.word, said.word
        good = np.flatnonzero(score > score.max() - self.config.threshold)
        order = good[np.argsort(-score[good], kind="stable")]
        key = ((first[order] * self.model.words + second[order]) * len(lexicon.label) + node[order]) * 64 + label[order]
        kept = order[np.sort(np.unique(key, return_index=True)[1])][: self.config.beam]
        history = state.history[parent[kept]]
        for place in np.flatnonzero(ended[kept] >= 0):
            spoken = Word(int(ended[kept[place]]), int(begun[kept[place]]), state.frame)
            links.append((int(history[place]), spoken))
            history[place] = len(links) - 1
        return SearchState(
            node[kept], label[kept], first[kept], second[kept], score[kept].astype(np.float32), begun[kept], history,
            (), state.frame + 1, state.certain,
        )  # fmt: skip

    def _enter(self, row: Floats, state: SearchState, other: float) -> _Grown:
        """Every step into a child of its node that could be among the best. other: the best gain of another step."""
        lexicon = self.lexicon
        parent, place = _spread(lexicon.child_start[state.node], lexicon.child_start[state.node + 1])
        child = lexicon.children[place]
        into = lexicon.label[child]
        grown = state.score[parent] + row[into] + self._ahead[child] - self._ahead[state.node[parent]]
        floor = max(state.score.max() + other, grown.max(initial=-np.inf)) - self.config.threshold
        fit = (grown > floor) & (into != state.label[parent])
        parent, child, into, grown = parent[fit], child[fit], into[fit], grown[fit]
        begun = np.where(state.node[parent] == ROOT, state.frame, state.begun[parent])
        return _Grown(parent, child, into, grown, begun)

    def _end_words(self, state: SearchState, at: _Grown) -> _Ended:
        """The words that end in the nodes just entered; the model's score takes the place of the best guess."""
        source, place = _spread(self.lexicon.word_start[at.node], self.lexicon.word_start[at.node + 1])
        word = self.lexicon.endings[place]
        up = at.parent[source]
        language = self.model.score(state.first[up], state.second[up], word)
        known = self.config.language_weight * language + self._gains[word] - self._ahead[at.node[source]]
        score = at.score[source] + known + self._ahead[ROOT] + self.config.word_bonus
        grown = _Grown(up, np.full(len(word), ROOT), at.label[source], score, at.begun[source])
        return _Ended(grown, word, self.model.shorten(state.second[up], word))

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
