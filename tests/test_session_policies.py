"""Sessions under every policy: changed in their midst, moved, without pauses, with a translator that gives little."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished, Words
from streamst.models.glossary import Glossary
from streamst.models.seam import ATTENTION, NO_GLOSSARY, Pcm, Transcript
from streamst.models.translator import SpeechTranslator
from streamst.models.write.greedy import looping
from streamst.pipeline import Pipeline
from streamst.policies.base import Decoding, Heard, Hypothesis, Need
from streamst.policies.catalog import POLICIES, make_policy, parse_policy
from streamst.session import LONG_CAPTION_WORDS, Session, SessionOptions

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> Pcm:
    """Something that a tiny random model babbles to without a pause."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0.02, 0.4, int(seconds * 10) + 1), RATE // 10)[: int(seconds * RATE)]
    return (rng.standard_normal(len(loud)) * loud).astype(np.float32)


def text(events: Sequence[Event]) -> str:
    return " ".join(word for event in events if isinstance(event, Words) for word in event.words)


def lines(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """What events say, compute times left out."""
    return [
        (e.source_ms, e.lang, e.segment, e.stable, e.unstable, e.final)
        if isinstance(e, Caption)
        else (e.source_ms, e.segment, e.words)
        for e in events
        if isinstance(e, Caption | Words)
    ]


def whole(session: Session[Any, Any], audio: Pcm) -> list[Event]:
    return [*session.push(audio), *session.finish()]


def able(pipeline: Pipeline) -> list[str]:
    """The policies that this translator has all outputs for."""
    provides = pipeline.translator.provides | {"previous"}
    return [name for name in POLICIES if make_policy(name).needs <= provides]


@pytest.fixture
def tireless(tiny_pipeline: Pipeline) -> SpeechTranslator:
    """A translator whose segments may be long: only what a policy forgets bounds them."""
    one = tiny_pipeline.translator
    listener = replace(one.config, longest_segment_tokens=100_000, pause_ms=100_000)
    networks = one.listener, one.writer, one.source_tokenizer, one.target_tokenizer, one.heads
    return SpeechTranslator(listener, *networks)


def test_the_translator_serves_every_policy_that_needs_no_other_head(tiny_pipeline: Pipeline) -> None:
    assert {"wait-k", "local-agreement", "hold-n", "edatt", "alignatt", "streamatt", "confidence", "consensus",
            "retranslate"} <= set(able(tiny_pipeline))  # fmt: skip
    for name in set(POLICIES) - set(able(tiny_pipeline)):
        with pytest.raises(ConfigError, match=f"policy {name} needs .*, which this translator does not provide"):
            tiny_pipeline.session(policy=name)


@pytest.mark.parametrize("name", ["alignatt:normalise=z-score", "edatt", "streamatt:keep_words=1", "confidence:tau=0.1",
                                  "consensus", "retranslate:beta=0.5"])  # fmt: skip
def test_a_session_moved_after_every_second_says_the_same(tiny_pipeline: Pipeline, name: str) -> None:
    audio, glossary = noise(9, 3), {"cat": "Tag"}
    expected = whole(tiny_pipeline.session(policy=name, chunk_ms=320, speech=False, glossary=glossary), audio)
    assert text(expected)
    session = tiny_pipeline.session(policy=name, chunk_ms=320, speech=False, glossary=glossary)
    events: list[Event] = []
    for piece in np.array_split(audio, 9):
        events += session.push(piece)
        session = Session.restore(session.snapshot(), tiny_pipeline.translator)
    assert lines([*events, *session.finish()]) == lines(expected)


def test_the_end_says_everything_that_is_held_wherever_the_stream_ends(tireless: SpeechTranslator) -> None:
    audio = noise(4, 1)
    for samples in (1, 100, 5_119, 5_120, 20_001, len(audio)):
        state = tireless.encode(audio[:samples], tireless.init_state(320, "de"), final=True)
        offline = tireless.detokenize(tireless.hypothesise(state, (), final=True).tokens)
        patient = Session(tireless, parse_policy("wait-k:k=1000"), None, SessionOptions(chunk_ms=320))
        assert text(patient.push(audio[:samples])) == ""
        assert text(patient.finish()) == offline
        for name in ("wait-k:k=1", "alignatt", "streamatt", "hold-n:n=1"):
            events = whole(Session(tireless, parse_policy(name), None, SessionOptions(chunk_ms=320)), audio[:samples])
            shown = [e for e in events if isinstance(e, Caption) and e.lang == "de" and e.final]
            assert all(not e.unstable for e in shown)
            assert text(events) == " ".join(e.stable for e in shown if e.stable)
    assert offline


def test_at_its_patient_limit_every_policy_says_what_offline_decoding_says(tireless: SpeechTranslator) -> None:
    audio, translator = noise(3, 5), tireless
    state = translator.encode(audio, translator.init_state(320, "de"), final=True)
    offline = translator.detokenize(translator.hypothesise(state, (), final=True).tokens)
    assert offline
    for name in ("wait-k:k=1000", "local-agreement:n=100", "hold-n:n=1000", "edatt:alpha=0", "alignatt:hold_ms=60000",
                 "streamatt:hold_ms=60000", "confidence:tau=1", "consensus:passes=100", "retranslate"):  # fmt: skip
        assert text(whole(Session(tireless, parse_policy(name), None, SessionOptions(chunk_ms=320)), audio)) == offline


def test_a_policy_and_a_chunk_size_change_in_mid_segment_and_no_word_is_lost(tiny_pipeline: Pipeline) -> None:
    audio = noise(3, 5)
    session = tiny_pipeline.session(policy="wait-k:k=1", chunk_ms=320, speech=False)
    events = session.push(audio[:12_345])  # in the middle of a chunk
    session.reconfigure(parse_policy("hold-n:n=1"), 640)
    assert session.chunk_ms == 320
    events += session.push(audio[12_345:20_000])
    assert session.chunk_ms == 640
    assert isinstance(session.policy, POLICIES["hold-n"])
    moved = Session.restore(session.snapshot(), tiny_pipeline.translator)
    rest = [*session.push(audio[20_000:]), *session.finish()]
    assert lines([*moved.push(audio[20_000:]), *moved.finish()]) == lines(rest)
    events += rest
    captions = [e for e in events if isinstance(e, Caption) and e.lang == "de"]
    for before, after in pairwise(captions):
        assert before.segment != after.segment or after.stable.startswith(before.stable)
    assert text(events) == " ".join(e.stable for e in captions if e.final and e.stable)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.samples == len(audio)


def test_the_same_settings_given_anew_change_nothing(tiny_pipeline: Pipeline) -> None:
    audio = noise(5, 8)
    expected = whole(tiny_pipeline.session(policy="local-agreement", chunk_ms=320, speech=False), audio)
    session = tiny_pipeline.session(policy="local-agreement", chunk_ms=320, speech=False)
    events: list[Event] = []
    for piece in np.array_split(audio, 11):
        session.reconfigure(make_policy("local-agreement"), 320)
        events += session.push(piece)
    assert lines([*events, *session.finish()]) == lines(expected)


def test_impossible_changes_are_refused_and_the_session_goes_on(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session(policy="wait-k", chunk_ms=320)
    with pytest.raises(ConfigError, match="policy ctc-guided needs target-ctc"):
        session.reconfigure(make_policy("ctc-guided"), 640)
    with pytest.raises(InputError, match=r"chunk of 100 ms .*allowed: multiples of 80 ms"):
        session.reconfigure(make_policy("hold-n"), 100)
    session.push(noise(1))
    assert isinstance(session.policy, POLICIES["wait-k"])
    assert session.chunk_ms == 320
    session.finish()
    with pytest.raises(InputError, match="finished"):
        session.reconfigure(make_policy("hold-n"))


def test_captions_only_and_back_keeps_the_voice_in_order(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session(policy="wait-k:k=1", chunk_ms=320)
    events = session.push(noise(3, 5))
    session.reconfigure(make_policy("retranslate"))
    events += session.push(noise(3, 6))
    session.reconfigure(make_policy("wait-k"))
    events += [*session.push(noise(3, 7)), *session.finish()]
    assert text(events)


def test_a_talk_without_a_pause_keeps_bounded_memory_under_streamatt(tireless: SpeechTranslator) -> None:
    policy = parse_policy("streamatt:keep_words=3,keep_ms=3000,hold_ms=80,rewind_ms=60000")
    session = Session(tireless, policy, None, SessionOptions(chunk_ms=320))
    sizes, events = [], list[Event]()
    for second in range(60):
        events += session.push(noise(1, second))
        sizes.append(len(session.snapshot()))
        assert len(session._segment.prefix) <= 128
        assert tireless.heard(session._hearing).frames <= 3000 / tireless.frame_ms + 4
    assert max(sizes[30:]) <= 1.1 * max(sizes[5:30])
    events += session.finish()
    captions = [e for e in events if isinstance(e, Caption)]
    assert max(len(e.stable.split()) for e in captions if e.lang == "de") <= LONG_CAPTION_WORDS + 20
    closed = {e.segment for e in captions if e.final and e.lang == "de"}
    assert closed == set(range(max(closed) + 1))
    assert text(events) == " ".join(e.stable for e in captions if e.final and e.lang == "de" and e.stable)
    for event in events:
        if isinstance(event, Words):
            assert all(0 <= at_ms <= event.source_ms for at_ms in event.aligned_ms)


def test_a_talk_without_a_pause_is_cut_by_length_under_other_policies(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session(policy="wait-k", chunk_ms=320, speech=False)
    session.push(noise(20))
    empty = len(tiny_pipeline.session(policy="wait-k", chunk_ms=320, speech=False).snapshot())
    assert len(session.snapshot()) < empty + 60_000
    finished = session.finish()[-1]
    assert isinstance(finished, Finished)
    assert finished.segments > 1


def test_what_is_forgotten_is_gone_and_the_rest_keeps_its_times(tireless: SpeechTranslator) -> None:
    state = tireless.encode(noise(4, 5), tireless.init_state(320, "de"))
    words = tireless.source_text(state, final=True).stable
    kept = tireless.forget(state, 20, 0)
    assert tireless.heard(kept).frames == tireless.heard(state).frames - 20
    assert tireless.heard(kept).start_ms == 20 * tireless.frame_ms
    later = [word for word in words if word.start_ms >= 21 * tireless.frame_ms]
    assert later
    assert list(tireless.source_text(kept, final=True).stable)[-len(later) + 1 :] == later[1:]
    alignment = tireless.hypothesise(kept, ()).alignment
    assert all(0 <= frame < tireless.heard(kept).frames for frame in alignment)


def test_exported_attention_is_a_share_for_every_frame(tiny_pipeline: Pipeline) -> None:
    translator = tiny_pipeline.translator
    state = translator.encode(noise(3, 5), translator.init_state(320, "de"))
    plain = translator.hypothesise(state, ())
    found = translator.hypothesise(state, (), decoding=Decoding(attention=True))
    assert not plain.attention
    assert found.tokens == plain.tokens
    assert len(found.attention) == len(found.tokens) > 0
    for row in found.attention:
        assert len(row) == translator.heard(state).frames
        assert sum(row) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("tokens", "repeated"),
    [((), 0), ((1, 2, 3), 0), ((7,) * 5, 0), ((7,) * 6, 5), ((4, 7, 7, 7, 7, 7, 7), 5), ((1, 2) * 3, 0),
     ((1, 2) * 4, 6),
     ((1, 2, 3) * 2, 0), ((9, *(1, 2, 3) * 3), 6), ((1, 2, 3, 4, 5, 6, 7, 8) * 3, 16),
     ((1, 2, 3, 4), 0)],
)  # fmt: skip
def test_a_round_in_circles_is_recognised_at_its_end(tokens: tuple[int, ...], repeated: int) -> None:
    assert looping(tokens) == repeated


@dataclass(frozen=True)
class Clock:
    """State of `Counting`: samples heard, and where the segment began."""

    samples: int = 0
    begun: int = 0


class Counting:
    """A translator without a source CTC: it hears seconds and says their numbers."""

    sample_rate_hz = RATE
    source, targets = "en", ("de",)
    provides: frozenset[Need] = frozenset({"alignment"})

    def init_state(self, chunk_ms: int, target: str, glossary: Glossary = NO_GLOSSARY) -> Clock:
        return Clock()

    def rechunk(self, state: Clock, chunk_ms: int) -> Clock:
        return state

    def encode(self, pcm: Pcm, state: Clock, final: bool = False) -> Clock:
        return Clock(state.samples + len(pcm), state.begun)

    def heard(self, state: Clock, final: bool = False) -> Heard:
        return Heard((state.samples - state.begun) // 1600, 100.0, final=final, start_ms=state.begun / 16)

    def source_text(self, state: Clock, final: bool = False) -> Transcript:
        return Transcript()

    def hypothesise(
        self, state: Clock, prefix: Sequence[int], final: bool = False, decoding: Decoding = ATTENTION
    ) -> Hypothesis:
        said = range(len(prefix), (state.samples - state.begun) // RATE)
        frames = tuple(10 * second + 9 for second in said)
        return Hypothesis(tuple(said), alignment=frames, word_ends=tuple(range(1, len(said) + 1)), finished=True)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))

    def endpoint(self, state: Clock) -> bool:
        return state.samples - state.begun >= 5 * RATE

    def next_segment(self, state: Clock) -> Clock:
        return Clock(state.samples, state.samples)

    def forget(self, state: Clock, frames: int, tokens: int) -> Clock:
        return Clock(state.samples, state.begun + frames * 1600)

    def pack_state(self, state: Clock) -> dict[str, Any]:
        return {"samples": state.samples, "begun": state.begun}

    def unpack_state(self, packed: dict[str, Any]) -> Clock:
        return Clock(**packed)


@pytest.mark.parametrize("name", ["wait-k:k=1,boundaries=fixed,step_ms=1000", "local-agreement", "hold-n:n=1",
                                  "alignatt", "retranslate:mask=0"])  # fmt: skip
def test_a_translator_without_source_ctc_is_decoded_all_the_same(name: str) -> None:
    session = Session(Counting(), parse_policy(name), None, SessionOptions(chunk_ms=500))
    events: list[Event] = []
    for _ in range(12):
        events += session.push(np.zeros(RATE, np.float32))
        session = Session.restore(session.snapshot(), Counting())
    before = text(events)
    events += session.finish()
    assert text(events) == "0 1 2 3 4 0 1 2 3 4 0 1"
    assert before
    with pytest.raises(ConfigError, match="policy wait-k needs source-ctc"):
        Session(Counting(), make_policy("wait-k"))


def test_a_glossary_pulls_a_random_translator_to_its_term_and_only_where_it_was_heard(tiny_pipeline: Pipeline) -> None:
    torch.manual_seed(0)
    audio, translator = noise(6, 5), tiny_pipeline.translator
    plain = whole(tiny_pipeline.session(policy="hold-n", chunk_ms=320, speech=False), audio)
    heard = [e.stable for e in plain if isinstance(e, Caption) and e.lang == "en" and e.final]
    source = next(word for line in heard for word in line.split() if len(word) > 1)
    absent = whole(
        tiny_pipeline.session(policy="hold-n", chunk_ms=320, speech=False, glossary={"zzzyzx": "See"}), audio
    )
    assert text(absent) == text(plain)
    state = translator.encode(audio[:32_000], translator.init_state(320, "de", Glossary(((source, "Mai"),))), True)
    assert translator.heard(state).source_tokens
    with pytest.raises(InputError, match="entry 2: 'box' is"):
        tiny_pipeline.session(glossary=[("box", "Kiste"), ("box", "Truhe")])


class Hasty(Counting):
    """Says a sentence after every second, always as if it were the last: its last word is a full stop."""

    def hypothesise(
        self, state: Clock, prefix: Sequence[int], final: bool = False, decoding: Decoding = ATTENTION
    ) -> Hypothesis:
        said = [*range((state.samples - state.begun) // RATE), 99][len(prefix) :]
        return Hypothesis(tuple(said), word_ends=tuple(range(1, len(said) + 1)), finished=True)


def test_one_decode_does_not_end_a_sentence_before_the_speaker_does() -> None:
    options = SessionOptions(chunk_ms=500)
    session = Session(Hasty(), parse_policy("wait-k:k=1,boundaries=fixed,step_ms=100"), None, options)
    events = [event for _ in range(4) for event in session.push(np.zeros(RATE, np.float32))]
    assert text(events) == "0 1 2 3"
    assert text([*events, *session.finish()]) == "0 1 2 3 99"


class Quiet(Counting):
    """Hears its first word after two minutes."""

    provides: frozenset[Need] = frozenset({"alignment", "source-ctc"})

    def heard(self, state: Clock, final: bool = False) -> Heard:
        words = max(0, state.samples // RATE - 120)
        return replace(super().heard(state, final), source_words=words, source_tokens=words)

    def endpoint(self, state: Clock) -> bool:
        return False


@pytest.mark.parametrize("name", ["wait-k:k=1", "alignatt", "local-agreement"])
def test_of_a_long_silence_only_the_end_is_kept(name: str) -> None:
    translator = Quiet()
    session = Session(translator, parse_policy(name), None, SessionOptions(chunk_ms=500))
    events: list[Event] = []
    for _ in range(125):
        events += session.push(np.zeros(RATE, np.float32))
        heard = translator.heard(session._hearing)
        assert heard.frames * heard.frame_ms <= 66_000
        assert heard.start_ms + heard.frames * heard.frame_ms == session._source_ms
    assert text(events)
    said = [e for e in [*events, *session.finish()] if isinstance(e, Words)]
    assert all(e.source_ms > 120_000 for e in said)
    assert text(said) == " ".join(map(str, range(64)))  # the seconds since the end of what was forgotten
