"""Sentences end where a language model and the pauses say so; a translator closes them one by one."""

import math
from itertools import pairwise

import numpy as np
import pytest

from streamst.audio import read_blocks
from streamst.events import Caption, Event, Words
from streamst.models.listen.ngram import BEGIN, END, NGram, estimate
from streamst.models.listen.search import Word
from streamst.models.listen.sentences import SentenceConfig, SentenceEnds
from streamst.models.offline import hear, translate
from streamst.pipeline import Pipeline, load
from streamst.session import Session

WORDS = ("<unk>", "<s>", "</s>", "tom", "is", "here", "we", "go", "home", "now")
TEXTS = ("tom is here", "we go home", "tom is home now", "we go now", "here we go", "tom is here now", "go home")
FRAME_MS = 40.0
PLAIN = SentenceConfig(threshold=0.5, one_word=1.0, pause=6.0, breath_ms=160.0)


def model() -> NGram:
    numbers = {word: i for i, word in enumerate(WORDS)}
    return estimate(([numbers[w] for w in text.split()] for text in TEXTS * 9), len(WORDS), keep=1)


def said(text: str, gaps_ms: dict[int, float] | None = None) -> list[Word]:
    """Words of five frames each; `gaps_ms`: silence after the word with that index."""
    words, frame = [], 0
    for index, word in enumerate(text.split()):
        words.append(Word(WORDS.index(word), frame, frame + 4))
        frame += 5 + round((gaps_ms or {}).get(index, 0) / FRAME_MS)
    return words


def by_hand(words: list[Word], silence_ms: float, config: SentenceConfig) -> int:
    """The same sums, one at a time."""

    def log_p(first: int, second: int, word: int) -> float:
        return float(model().score(*(np.array([n]) for n in (first, second, word)))[0])

    numbers = [word.number for word in words]
    for count in range(2, len(words) + 1):
        before, here = numbers[count - 2], numbers[count - 1]
        after = numbers[count : count + 2]
        evidence = log_p(before, here, END)
        if not after:
            if not silence_ms:
                continue
            evidence -= math.log(1 - math.exp(evidence))
        if after:
            evidence += log_p(BEGIN, BEGIN, after[0]) - log_p(before, here, after[0])
        if len(after) == 2:
            evidence += log_p(BEGIN, after[0], after[1]) - log_p(here, after[0], after[1])
        silence = (words[count].first - words[count - 1].last) * FRAME_MS if after else silence_ms
        evidence += config.pause * max(0.0, silence - config.breath_ms) / 1000
        if evidence > config.threshold + (config.one_word if len(after) == 1 else 0.0):
            return count
    return 0


@pytest.mark.parametrize("silence_ms", [0.0, 240.0, 700.0])
@pytest.mark.parametrize("gap_ms", [0.0, 200.0, 480.0])
def test_ends_are_those_of_the_sums_by_hand(silence_ms: float, gap_ms: float) -> None:
    ends = SentenceEnds(model(), PLAIN, FRAME_MS)
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        text = " ".join(rng.choice(WORDS[3:], int(rng.integers(1, 8))))
        words = said(text, {int(rng.integers(0, 6)): gap_ms})
        found.append(ends.first(words, silence_ms))
        assert found[-1] == by_hand(words, silence_ms, PLAIN)
    assert 0 in found
    assert max(found) >= 2


def test_two_sentences_without_a_pause_are_told_apart_and_one_is_left_whole() -> None:
    ends = SentenceEnds(model(), PLAIN, FRAME_MS)
    assert ends.first(said("tom is here we go home")) == 3
    assert ends.first(said("tom is home now")) == 0
    assert ends.first(said("we go")) == 0
    assert ends.first(said("tom")) == 0
    assert ends.first([]) == 0


def test_a_pause_makes_an_end_likelier_and_its_place_matters() -> None:
    ends = SentenceEnds(model(), PLAIN, FRAME_MS)
    assert ends.first(said("we go now")) == 0
    assert ends.first(said("we go now"), 600.0) == 3
    assert ends.first(said("go home now tom is here", {1: 800.0})) == 2


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return load("en-de", "cpu", recogniser="own")


def spoken(pipeline: Pipeline) -> np.ndarray:
    """A recorded request, cut to its speech."""
    pcm = np.concatenate(list(read_blocks("tests/data/station.flac", pipeline.sample_rate_hz)))
    loud = np.flatnonzero(np.abs(pcm) > 0.02)
    return pcm[loud[0] : loud[-1]]


def captions(events: list[Event], lang: str) -> list[str]:
    return [e.stable for e in events if isinstance(e, Caption) and e.final and e.lang == lang]


@pytest.mark.parametrize("policy", ["wait-k:k=1", "local-agreement", "streamatt", "taed"])
def test_a_talk_without_pauses_comes_in_sentences_and_none_is_lost(shipped: Pipeline, policy: str) -> None:
    once, times = spoken(shipped), 4
    alone = shipped.session(policy=policy, chunk_ms=320, speech=False)
    expected = captions([*alone.push(once), *alone.finish()], "en")
    session = shipped.session(policy=policy, chunk_ms=320, speech=False)
    events: list[Event] = []
    for piece in np.array_split(np.tile(once, times), 13):
        events += session.push(piece)
        session = Session.restore(session.snapshot(), shipped.models)
    events += session.finish()
    heard, german = captions(events, "en"), captions(events, "de")
    words, wanted = " ".join(heard).split(), times * " ".join(expected).split()
    assert len(heard) >= times
    assert abs(len(words) - len(wanted)) <= times
    assert len(set(words) ^ set(wanted)) <= times
    assert " ".join(german) == " ".join(w for e in events if isinstance(e, Words) for w in e.words)
    ends = [e.end_ms for e in events if isinstance(e, Caption) and e.final and e.lang == "en"]
    assert all(a <= b for a, b in pairwise(ends))


def offline(pipeline: Pipeline, audio: np.ndarray) -> str:
    """All of the audio first, then each of its sentences decoded at once."""
    recogniser = pipeline.recogniser
    return translate(recogniser, pipeline.writer, hear(recogniser, audio, 320), "de")


def test_a_stream_that_ends_in_mid_word_says_all_that_offline_decoding_says(shipped: Pipeline) -> None:
    audio = spoken(shipped)
    for samples in (1, 4_000, len(audio) // 2, 2 * len(audio) // 3, len(audio)):
        wanted = offline(shipped, audio[:samples])
        for policy in ("wait-k:k=1000", "local-agreement:n=100", "alignatt:hold_ms=60000", "wait-k:k=1", "streamatt"):
            session = shipped.session(policy=policy, chunk_ms=320, speech=False)
            events = [*session.push(audio[:samples]), *session.finish()]
            said = " ".join(word for e in events if isinstance(e, Words) for word in e.words)
            assert said == " ".join(filter(None, captions(events, "de")))
            assert said == wanted or policy in ("wait-k:k=1", "streamatt")
            assert not [e for e in events if isinstance(e, Caption) and e.final and e.unstable]
    assert wanted.count(" ") >= 5
