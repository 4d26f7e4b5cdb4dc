"""The word search finds what exhaustive search finds, in any chunks; the language model is one of probabilities."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from streamst.errors import CheckpointError
from streamst.models.listen import search
from streamst.models.listen.lexicon import Lexicon
from streamst.models.listen.ngram import BEGIN, NGram, estimate
from streamst.models.listen.search import SearchConfig, WordSearch
from streamst.nn.packing import from_bytes, to_bytes

WORDS = ("<unk>", "<s>", "</s>", "ab", "a", "b", "ba", "see", "sea")
SPELLINGS = {"ab": [[1, 2]], "a": [[1]], "b": [[2]], "ba": [[2, 1], [2, 2]], "see": [[3]], "sea": [[3]]}
LABELS = 4
EXHAUSTIVE = SearchConfig(
    language_weight=0.7, word_bonus=0.3, blank_penalty=0.2, beam=100_000, threshold=1e9, doubt=0.0
)


def model() -> NGram:
    numbers = {word: i for i, word in enumerate(WORDS)}
    texts = ["a b", "ab a", "a ba", "sea a b", "see ba", "a sea", "b b a", "a b sea"]
    return estimate(([numbers[w] for w in text.split()] for text in texts), len(WORDS), keep=1)


def noise(frames: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (frames, LABELS))
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def best_by_enumeration(log_probs: np.ndarray, config: SearchConfig) -> tuple[float, list[int]]:
    """Every label sequence a frame, every way to read its collapsed labels as words."""
    lm = model()
    readings: dict[tuple[int, ...], list[tuple[int, ...]]] = {(): [()]}

    def read(labels: tuple[int, ...]) -> list[tuple[int, ...]]:
        if labels not in readings:
            found = []
            for number, word in enumerate(WORDS):
                for spelling in SPELLINGS.get(word, ()):
                    if labels[: len(spelling)] == tuple(spelling):
                        found += [(number, *rest) for rest in read(labels[len(spelling) :])]
            readings[labels] = found
        return readings[labels]

    best: tuple[float, list[int]] = (-math.inf, [])
    for path in itertools.product(range(LABELS), repeat=len(log_probs)):
        acoustic = sum(float(log_probs[t, label]) - config.blank_penalty * (label == 0) for t, label in enumerate(path))
        collapsed = tuple(label for label, _ in itertools.groupby(path) if label)
        for words in read(collapsed):
            score = acoustic + config.word_bonus * len(words)
            context = (BEGIN, BEGIN)
            for word in words:
                one = [np.array([n]) for n in (*context, word)]
                score += config.language_weight * float(lm.score(*one)[0])
                context = (context[1], word)
            if score > best[0]:
                best = (score, list(words))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_the_words_that_enumeration_finds(seed: int) -> None:
    log_probs = noise(6, seed)
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), EXHAUSTIVE)
    state = finder.decide(finder.step(log_probs, finder.init_state()))
    assert [word.number for word in finder.words(state)] == best_by_enumeration(log_probs, EXHAUSTIVE)[1]


@pytest.mark.parametrize("seed", range(4))
def test_any_chunks_give_the_words_and_times_of_one(seed: int) -> None:
    log_probs = noise(200, seed)
    wide = SearchConfig(beam=300, agreeing=1e9, threshold=14, doubt=0.0)
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), wide)
    whole = finder.step(log_probs, finder.init_state())
    random, state, at = np.random.default_rng(seed), finder.init_state(), 0
    while at < len(log_probs):
        size = int(random.integers(1, 20))
        state = from_bytes(
            search.SearchState, to_bytes(finder.step(log_probs[at : at + size], state)), finder.init_state()
        )
        at += size
    assert finder.words(state) == finder.words(whole)
    assert len(finder.words(state)) > 20


def test_certain_words_never_change_and_stay_in_front() -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig(agreeing=4.0))
    state = finder.init_state()
    before: tuple[search.Word, ...] = ()
    for row in noise(300, 3):
        state = finder.step(row[None], state)
        assert state.certain[: len(before)] == before
        assert finder.words(state)[: len(state.certain)] == state.certain
        before = state.certain
    assert len(before) > 20


def test_a_pause_decides_and_a_new_segment_keeps_the_word_that_is_being_heard() -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig())
    rows = np.full((6, LABELS), -20.0, np.float32)
    for frame, label in enumerate((1, 0, 3, 0, 2, 0)):  # a, see or sea, and the b of ba
        rows[frame, label] = 0.0
    decided = finder.decide(finder.step(rows[:4], finder.init_state()))
    assert [WORDS[w.number] for w in decided.certain] == ["a", "sea"]
    assert [(w.first, w.last) for w in decided.certain] == [(0, 0), (2, 2)]
    going = finder.next_segment(finder.step(rows[4:], decided))
    ended = finder.step(np.roll(rows[:2], 0, 0), going)  # an a: with the b before it "ba", or "b" was complete
    assert finder.words(going) == ()
    assert "".join(WORDS[w.number] for w in finder.words(finder.decide(ended))) in ("ba", "a")


def test_words_without_a_pause_may_be_cut_into_segments_anywhere() -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig(beam=1, doubt=0.0))
    state, found = finder.init_state(), 0
    for row in noise(200, 4):
        state = finder.step(row[None], state)
        found += len(finder.words(state))
        state = finder.next_segment(state)
    assert found > 20


def test_what_silence_explains_nearly_as_well_is_no_word() -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig(doubt=3.0))
    rows = np.full((3, LABELS), -20.0, np.float32)
    rows[:, 0] = -0.01
    rows[1] = (-0.7, -0.7, -20, -20)  # as likely a blank as an a
    unsure = finder.step(rows, finder.init_state())
    assert finder.words(unsure) == ()
    assert finder.decide(unsure).certain == ()
    rows[1] = (-9.0, -0.01, -20, -20)
    sure = finder.decide(finder.step(rows, finder.init_state()))
    assert [WORDS[w.number] for w in sure.certain] == ["a"]


def test_a_favoured_word_is_heard_for_one_that_sounds_alike_unless_all_are_favoured() -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig(doubt=0.0))
    rows = np.full((3, LABELS), -20.0, np.float32)
    rows[:, 0] = rows[1, 3] = -0.01
    rows[1, 0] = -9.0

    def heard(one: WordSearch) -> list[str]:
        return [WORDS[word.number] for word in one.words(one.step(rows, one.init_state()))]

    usual = heard(finder)
    other = {"see": "sea", "sea": "see"}[usual[0]]
    crowd = {other, *(f"w{number}" for number in range(100_000))}
    assert heard(finder.favouring({other}, 3.0)) == [other]
    assert heard(finder.favouring(crowd, 3.0)) == usual


def test_probabilities_of_all_words_sum_to_one_after_any_context() -> None:
    lm = model()
    every = np.arange(len(WORDS))
    for first, second in itertools.product(range(len(WORDS)), repeat=2):
        if second == 2:
            continue  # nothing follows the end
        scores = lm.score(np.full_like(every, first), np.full_like(every, second), every)
        assert np.exp(scores).sum() == pytest.approx(1, abs=0.02)


def test_texts_without_a_trigram_worth_keeping_are_scored_by_pairs() -> None:
    lm = estimate([[3, 4], [4, 3]], 6, keep=9)
    assert len(lm.trigram) == 0
    every = np.arange(6)
    for first, second in [(1, 1), (1, 3), (3, 4), (5, 5)]:
        scores = lm.score(np.full_like(every, first), np.full_like(every, second), every)
        assert np.exp(scores).sum() == pytest.approx(1, abs=0.02)


def test_a_seen_continuation_is_likelier_than_an_unseen_one() -> None:
    a, b, see = (np.array([WORDS.index(word)]) for word in ("a", "b", "see"))
    lm = model()
    assert lm.score(np.array([BEGIN]), a, b) > lm.score(np.array([BEGIN]), a, see)
    assert lm.shorten(see, see)[0] == 0
    assert lm.shorten(a, b) == a


def test_a_search_is_the_same_after_saving_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    finder = WordSearch(Lexicon.build(WORDS, SPELLINGS), model(), SearchConfig(), silence=3)
    finder.save(tmp_path / "words.npz")
    again = WordSearch.load(tmp_path / "words.npz", SearchConfig())
    assert again.lexicon.words == WORDS
    assert again.silence == 3
    assert (again.model.trigram_keys == finder.model.trigram_keys).all()
    log_probs = noise(60, 9)
    found = [finder.words(one.step(log_probs, one.init_state())) for one in (finder, again)]
    assert [w.number for w in found[0]] == [w.number for w in found[1]]
    (tmp_path / "words.npz").write_bytes(b"PK nonsense")
    with pytest.raises(CheckpointError, match=r"words\.npz"):
        WordSearch.load(tmp_path / "words.npz", SearchConfig())
