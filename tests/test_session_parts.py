"""Sessions on a recogniser and a writer of a few lines: silence, overlaps, sentences, languages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from seams import text

from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Words
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, HeardWord, Listening, Models, SegmentConfig, Write
from streamst.pipeline import Pipeline
from streamst.policies.base import Hypothesis, Need
from streamst.policies.catalog import make_policy, parse_policy
from streamst.session import Session, SessionOptions
from streamst.session.session import LONG_QUIET_MS

RATE = 16_000


@dataclass(frozen=True)
class Clock:
    """State of `Seconds`: samples heard, and the words that were forgotten."""

    samples: int = 0
    gone: int = 0


class Seconds:
    """A recogniser that hears a word a second and takes five of them for a sentence."""

    language, sample_rate_hz = "en", RATE
    provides: frozenset[Need] = frozenset()
    segments = SegmentConfig()
    silent_s, sentence = 0, 5

    def chunk_samples(self, chunk_ms: int) -> int:
        return chunk_ms * RATE // 1000

    def init_state(self, glossary: Glossary = NO_GLOSSARY) -> Clock:
        return Clock()

    def hear_all(self, work: Sequence[Hear]) -> list[Clock]:
        return [replace(one.state, samples=one.state.samples + len(one.pcm)) for one in work]

    def listening(self, state: Clock) -> Listening:
        numbers = range(state.gone, max(0, state.samples // RATE - self.silent_s))
        at = [10 * (number + self.silent_s) for number in numbers]
        words = tuple(HeardWord(f"w{number}", first, first + 9) for number, first in zip(numbers, at, strict=True))
        ended = self.sentence if 0 < self.sentence <= len(words) else 0
        return Listening(words, len(words), state.samples // (RATE // 10), 100.0, 0.0, ended)

    def forget(self, state: Clock, words: int, frame: int, labels: int | None = None) -> Clock:
        return replace(state, gone=state.gone + words)


class Numbers:
    """A writer that says the number of each word in its segment."""

    source, targets = "en", ("de",)
    provides: frozenset[Need] = frozenset({"alignment"})
    stop: tuple[int, ...] = ()  # said after the words, as if no other came

    def terms(self, glossary: Glossary) -> None:
        return None

    def write_all(self, work: Sequence[Write]) -> list[Hypothesis]:
        return [self._write(one) for one in work]

    def _write(self, work: Write) -> Hypothesis:
        said = (*range(len(work.words)), *self.stop)[len(work.prefix) :]
        frames = tuple(work.words[min(number, len(work.words) - 1)].last_frame for number in said)
        return Hypothesis(said, alignment=frames, word_ends=tuple(range(1, len(said) + 1)), finished=True)

    def detokenize(self, target: str, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))


@pytest.mark.parametrize("name", ["wait-k:k=1,boundaries=fixed,step_ms=1000", "wait-k", "local-agreement",
                                  "hold-n:n=1", "alignatt", "retranslate:mask=0"])  # fmt: skip
def test_a_recogniser_and_a_writer_of_a_few_lines_serve_every_policy_of_words(name: str) -> None:
    models = Models(Seconds(), Numbers())
    session = Session(models, parse_policy(name), SessionOptions(chunk_ms=500))
    events: list[Event] = []
    for _ in range(12):
        events += session.push(np.zeros(RATE, np.float32))
        session = Session.restore(session.snapshot(), models)
    before = text(events)
    events += session.finish()
    assert text(events) == "0 1 2 3 4 0 1 2 3 4 0 1"
    assert before
    heard = [e.stable for e in events if isinstance(e, Caption) and e.lang == "en" and e.final]
    assert heard == ["w0 w1 w2 w3 w4", "w5 w6 w7 w8 w9", "w10 w11"]
    with pytest.raises(ConfigError, match="policy taed needs taed"):
        Session(models, make_policy("taed"))


class Doubtful(Seconds):
    """Ends a sentence with every fifth word, and is certain of a word three seconds later."""

    sentence = 0

    def listening(self, state: Clock) -> Listening:
        heard = super().listening(state)
        words = tuple(replace(one, text=one.text + "." * (one.text[1:] in ("4", "9"))) for one in heard.words)
        return replace(heard, words=words, certain=max(0, len(words) - 3))


@pytest.mark.parametrize("name", ["alignatt", "local-agreement", "hold-n:n=1"])
def test_what_follows_the_end_of_a_sentence_that_is_not_certain_yet_is_written_once(name: str) -> None:
    session = Session(Models(Doubtful(), Numbers()), parse_policy(name), SessionOptions(chunk_ms=500))
    events = [event for _ in range(14) for event in session.push(np.zeros(RATE, np.float32))]
    assert text(events).startswith("0 1 2 3 4 0 1 2 3 4")
    assert text([*events, *session.finish()]) == "0 1 2 3 4 0 1 2 3 4 0 1 2 3"


class Hasty(Numbers):
    """Ends the sentence after every word: its last word is a full stop."""

    stop = (99,)


class Breathless(Seconds):
    """Hears no end of a sentence."""

    sentence = 0


def test_one_decode_does_not_end_a_sentence_before_the_speaker_does() -> None:
    options = SessionOptions(chunk_ms=500)
    policy = parse_policy("wait-k:k=1,boundaries=fixed,step_ms=100")
    session = Session(Models(Breathless(), Hasty()), policy, options)
    events = [event for _ in range(4) for event in session.push(np.zeros(RATE, np.float32))]
    assert text(events) == "0 1 2 3"
    assert text([*events, *session.finish()]) == "0 1 2 3 99"


class Quiet(Breathless):
    """Hears its first word after two minutes."""

    silent_s = 120


@pytest.mark.parametrize("name", ["wait-k:k=1", "alignatt", "local-agreement"])
def test_of_a_long_silence_only_the_end_is_kept(name: str) -> None:
    session = Session(Models(Quiet(), Numbers()), parse_policy(name), SessionOptions(chunk_ms=500))
    events: list[Event] = []
    for _ in range(125):
        events += session.push(np.zeros(RATE, np.float32))
        heard = session._source.counts()
        assert heard.frames * heard.frame_ms <= 66_000
        assert heard.start_ms + heard.frames * heard.frame_ms == session._source_ms
    assert text(events)
    said = [e for e in [*events, *session.finish()] if isinstance(e, Words)]
    assert all(e.source_ms > 120_000 for e in said)
    assert text(said) == "0 1 2 3 4"


class Overlapping(Breathless):
    """Hears words that share frames."""

    def listening(self, state: Clock) -> Listening:
        heard = super().listening(state)
        return replace(heard, words=tuple(replace(one, last_frame=one.last_frame + 3) for one in heard.words))


@pytest.mark.parametrize("name", ["wait-k:k=1", "retranslate", "streamatt:keep_words=1,keep_ms=1000"])
def test_a_word_never_ends_after_the_next_begins(name: str) -> None:
    session = Session(Models(Overlapping(), Numbers()), parse_policy(name), SessionOptions(chunk_ms=500))
    events = [event for _ in range(9) for event in session.push(np.zeros(RATE, np.float32))]
    shown = [e.spans_ms for e in [*events, *session.finish()] if isinstance(e, Caption) and e.lang == "en"]
    assert max(map(len, shown)) > 1
    for spans in shown:
        assert all(start <= end for start, end in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_parts_that_share_no_language_are_refused(tiny_pipeline: Pipeline) -> None:
    class German(Seconds):
        language = "de"

    with pytest.raises(InputError, match="the recogniser hears 'de', the writer reads 'en': they share no language"):
        Models(German(), Numbers())
    assert tiny_pipeline.voice is not None

    class French(Numbers):
        targets = ("fr",)

    with pytest.raises(InputError, match="the voice speaks 'de', the writer writes fr"):
        Models(Seconds(), French(), tiny_pipeline.voice)


class Wavering(Seconds):
    """Hears two words in its first two seconds, and takes them back in the third."""

    sentence = 0

    def listening(self, state: Clock) -> Listening:
        found = super().listening(state)
        words = found.words[:2] if state.samples < 3 * RATE else ()
        return replace(found, words=words, certain=0)


def test_what_was_committed_keeps_the_words_that_it_was_read_from_though_the_recogniser_took_them_back() -> None:
    models = Models(Wavering(), Numbers())
    policy = parse_policy("wait-k:k=1,boundaries=fixed,step_ms=1000")
    session = Session(models, policy, SessionOptions(chunk_ms=500))
    lines: dict[tuple[int, str], Caption] = {}
    spoken: list[str] = []
    for second in range(5):
        for event in session.push(np.zeros(RATE, np.float32)):
            if isinstance(event, Caption):
                lines[event.segment, event.lang] = event
            spoken += event.words if isinstance(event, Words) else ()
        session = Session.restore(session.snapshot(), models)
        if second >= 2:
            assert spoken
            assert lines[0, "en"].stable + lines[0, "en"].unstable == "w0 w1"
    for event in session.finish():
        if isinstance(event, Caption):
            lines[event.segment, event.lang] = event
    assert lines[0, "en"].final
    assert (lines[0, "en"].stable, lines[0, "en"].start_ms, lines[0, "en"].end_ms) == ("w0 w1", 0.0, 2000.0)
    assert lines[0, "de"].final
    assert lines[0, "de"].stable == " ".join(spoken)
    assert lines[0, "de"].end_ms == 2000.0


def test_a_long_silence_ends_what_was_committed_before_its_words_were_taken_back() -> None:
    policy = parse_policy("wait-k:k=1,boundaries=fixed,step_ms=1000")
    session = Session(Models(Wavering(), Numbers()), policy, SessionOptions(chunk_ms=500))
    ended: list[tuple[int, str]] = []
    for _ in range(2 * round(LONG_QUIET_MS / 1000) + 2):
        ended += [
            (event.segment, event.lang)
            for event in session.push(np.zeros(RATE, np.float32))
            if isinstance(event, Caption) and event.final
        ]
    assert ended == [(0, "en"), (0, "de")]
    assert not [event for event in session.finish() if isinstance(event, Caption)]
