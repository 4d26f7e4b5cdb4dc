"""Sessions under every policy: changed in their midst, moved, without pauses, with a translator that gives little."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from seams import text

from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished, Words
from streamst.models import offline
from streamst.models.glossary import Glossary
from streamst.models.seam import Models, Pcm, Write
from streamst.models.translator import SpeechTranslator
from streamst.models.write.greedy import looping
from streamst.pipeline import Pipeline
from streamst.policies.base import Decoding
from streamst.policies.catalog import POLICIES, make_policy, parse_policy
from streamst.session import Session, SessionOptions
from streamst.session.captions import LONG_CAPTION_WORDS
from streamst.session.source import source_of

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> Pcm:
    """Something that a tiny random model babbles to without a pause."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0.02, 0.4, int(seconds * 10) + 1), RATE // 10)[: int(seconds * RATE)]
    return (rng.standard_normal(len(loud)) * loud).astype(np.float32)


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


def at_once(models: Models[Any, Any], audio: Pcm) -> str:
    """All of the audio first, then all of it translated."""
    state = offline.hear(models.recogniser, audio, 320)
    return models.writer.detokenize("de", offline.write(models.recogniser, models.writer, state, "de").tokens)


def able(pipeline: Pipeline) -> list[str]:
    """The policies that this translator has all outputs for."""
    provides = pipeline.provides | {"previous"}
    return [name for name in POLICIES if make_policy(name).needs <= provides]


@pytest.fixture
def tireless(tiny_translator: SpeechTranslator) -> Models[Any, Any]:
    """A translator whose segments may be long: only what a policy forgets bounds them."""
    one = tiny_translator
    listener = replace(one.config, longest_segment_tokens=100_000, pause_ms=100_000)
    networks = one.listener, one.writer, one.source_tokenizer, one.target_tokenizer, one.heads
    found = SpeechTranslator(listener, *networks)
    return Models(found.recogniser, found.pen)


def test_the_translator_serves_every_policy_that_needs_no_other_head(tiny_pipeline: Pipeline) -> None:
    assert {"wait-k", "local-agreement", "hold-n", "edatt", "alignatt", "streamatt", "confidence", "consensus",
            "retranslate"} <= set(able(tiny_pipeline))  # fmt: skip
    for name in set(POLICIES) - set(able(tiny_pipeline)):
        with pytest.raises(ConfigError, match=f"policy {name} needs .*, which these models do not provide"):
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
        session = Session.restore(session.snapshot(), replace(tiny_pipeline.models, voice=None))
    assert lines([*events, *session.finish()]) == lines(expected)


def test_the_end_says_everything_that_is_held_wherever_the_stream_ends(tireless: Models[Any, Any]) -> None:
    audio = noise(4, 1)
    for samples in (1, 100, 5_119, 5_120, 20_001, len(audio)):
        wanted = at_once(tireless, audio[:samples])
        patient = Session(tireless, parse_policy("wait-k:k=1000"), SessionOptions(chunk_ms=320))
        assert text(patient.push(audio[:samples])) == ""
        assert text(patient.finish()) == wanted
        for name in ("wait-k:k=1", "alignatt", "streamatt", "hold-n:n=1"):
            events = whole(Session(tireless, parse_policy(name), SessionOptions(chunk_ms=320)), audio[:samples])
            shown = [e for e in events if isinstance(e, Caption) and e.lang == "de" and e.final]
            assert all(not e.unstable for e in shown)
            assert text(events) == " ".join(e.stable for e in shown if e.stable)
    assert wanted


def test_at_its_patient_limit_every_policy_says_what_offline_decoding_says(tireless: Models[Any, Any]) -> None:
    audio = noise(3, 5)
    wanted = at_once(tireless, audio)
    assert wanted
    for name in ("wait-k:k=1000", "local-agreement:n=100", "hold-n:n=1000", "edatt:alpha=0", "alignatt:hold_ms=60000",
                 "streamatt:hold_ms=60000", "confidence:tau=1", "consensus:passes=100", "retranslate"):  # fmt: skip
        assert text(whole(Session(tireless, parse_policy(name), SessionOptions(chunk_ms=320)), audio)) == wanted


def test_a_policy_and_a_chunk_size_change_in_mid_segment_and_no_word_is_lost(tiny_pipeline: Pipeline) -> None:
    audio = noise(3, 5)
    session = tiny_pipeline.session(policy="wait-k:k=1", chunk_ms=320, speech=False)
    events = session.push(audio[:12_345])  # in the middle of a chunk
    session.reconfigure(parse_policy("hold-n:n=1"), 640)
    assert session.chunk_ms == 320
    events += session.push(audio[12_345:20_000])
    assert session.chunk_ms == 640
    assert isinstance(session.policy, POLICIES["hold-n"])
    moved = Session.restore(session.snapshot(), replace(tiny_pipeline.models, voice=None))
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


def test_a_talk_without_a_pause_keeps_bounded_memory_under_streamatt(tireless: Models[Any, Any]) -> None:
    policy = parse_policy("streamatt:keep_words=3,keep_ms=3000,hold_ms=80,rewind_ms=60000")
    session = Session(tireless, policy, SessionOptions(chunk_ms=320))
    sizes, events = [], list[Event]()
    for second in range(60):
        events += session.push(noise(1, second))
        sizes.append(len(session.snapshot()))
        assert len(session._segment.prefix) <= 128
        heard = session._source.counts()
        assert heard.frames <= 3000 / heard.frame_ms + 4
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


def test_what_is_forgotten_is_gone_and_the_rest_keeps_its_times(tireless: Models[Any, Any]) -> None:
    recogniser = tireless.recogniser
    state = offline.hear(recogniser, noise(4, 5), 320, final=False)
    before = recogniser.listening(state)
    count = len(before.words) // 2
    assert count
    start = before.words[count].first_frame
    after = recogniser.listening(recogniser.forget(state, count, start))
    assert after.words == before.words[count:]
    assert after.frames == before.frames
    assert recogniser.listening(recogniser.forget(state, len(before.words), before.frames)).words == ()
    kept = source_of(after, start, recogniser.segments)
    assert kept.counts().frames == before.frames - start
    assert kept.counts().start_ms == start * before.frame_ms
    (found,) = tireless.writer.write_all([Write(kept.counted_from_start(), kept.counts().frames, (), False, "de")])
    assert all(0 <= frame < kept.counts().frames for frame in found.alignment)


def test_exported_attention_is_a_share_for_every_frame(tireless: Models[Any, Any]) -> None:
    heard = tireless.recogniser.listening(offline.hear(tireless.recogniser, noise(3, 5), 320, final=False))
    asked = [Write(heard.words, heard.frames, (), False, "de", Decoding(attention=wish)) for wish in (False, True)]
    plain, found = tireless.writer.write_all(asked)
    assert not plain.attention
    assert found.tokens == plain.tokens
    assert len(found.attention) == len(found.tokens) > 0
    for row in found.attention:
        assert len(row) == heard.frames
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


def test_a_glossary_pulls_a_random_translator_to_its_term_and_only_where_it_was_heard(
    tiny_pipeline: Pipeline, tiny_translator: SpeechTranslator
) -> None:
    torch.manual_seed(0)
    audio = noise(6, 5)
    plain = whole(tiny_pipeline.session(policy="hold-n", chunk_ms=320, speech=False), audio)
    heard = [e.stable for e in plain if isinstance(e, Caption) and e.lang == "en" and e.final]
    source = next(word for line in heard for word in line.split() if len(word) > 1)
    absent = whole(
        tiny_pipeline.session(policy="hold-n", chunk_ms=320, speech=False, glossary={"zzzyzx": "See"}), audio
    )
    assert text(absent) == text(plain)
    state = offline.hear(tiny_translator.recogniser, audio[:32_000], 320, Glossary(((source, "Mai"),)))
    assert state.words
    with pytest.raises(InputError, match="entry 2: 'box' is"):
        tiny_pipeline.session(glossary=[("box", "Kiste"), ("box", "Truhe")])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"chunk_ms": 0}, "a chunk of 0 ms is not possible"),
        ({"chunk_ms": "320"}, "'320' is not a int"),
        ({"next_chunk_ms": -80}, "a chunk of -80 ms is not possible"),
        ({"samples": -1}, "samples -1 of a session is not possible"),
        ({"samples": 0.5}, "0.5 is not a int"),
        ({"compute_s": float("nan")}, "nan is not a number"),
        ({"waiting": np.zeros(90_000, np.float32)}, "90000 samples wait for a chunk of"),
        ({"waiting": np.zeros((2, 2), np.float32)}, "an array of"),
        ({"finished": "no"}, "'no' is not a bool"),
        ({"segment": 7}, "not a Segment: 7"),
        ({"ear": None}, "not a Ear: None"),
    ],
)
def test_a_snapshot_of_what_no_session_comes_to_is_refused(
    tiny_pipeline: Pipeline, change: dict[str, Any], named: str
) -> None:
    session = tiny_pipeline.session(policy="wait-k", speech=False)
    session.push(noise(2))
    progress = copy.copy(session._at)
    for name, value in change.items():
        object.__setattr__(progress, name, value)
    session._at = progress
    with pytest.raises(InputError, match=f"not a snapshot of a session: {named}"):
        Session.restore(session.snapshot(), tiny_pipeline.models)
