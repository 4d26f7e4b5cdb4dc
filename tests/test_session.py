"""A session says the same however its audio arrives, whoever else speaks, and after a move to elsewhere."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from streamst.errors import ConfigError, InputError
from streamst.events import Caption, Event, Finished, Speech, Words
from streamst.languages.german.spoken import leans, spoken
from streamst.pipeline import Pipeline
from streamst.policies.catalog import make_policy
from streamst.policies.wait_k import WaitK
from streamst.session import Session, SessionOptions
from streamst.session.speaker import WORD_WAIT_MS, pace


def talk(seconds: float, seed: int = 0) -> np.ndarray:
    """Something that a tiny random model babbles to: noise bursts with pauses."""
    rng = np.random.default_rng(seed)
    bursts = [
        np.concatenate(
            [
                rng.standard_normal(int(16_000 * 0.7)) * rng.uniform(0.02, 0.3),
                np.zeros(int(16_000 * rng.uniform(0.1, 1.3))),
            ]
        )
        for _ in range(int(seconds))
    ]
    return np.concatenate(bursts)[: int(seconds * 16_000)].astype(np.float32)


def pieces(audio: np.ndarray, sizes: Iterable[int]) -> list[np.ndarray]:
    cut, position = [], 0
    for size in sizes:
        cut.append(audio[position : position + size])
        position += size
    return [*cut, audio[position:]]


def run(session: Session, audio: Sequence[np.ndarray]) -> list[Event]:
    return [*(event for piece in audio for event in session.push(piece)), *session.finish()]


def said(events: Iterable[Event]) -> tuple[list[tuple[object, ...]], np.ndarray]:
    """What events say, compute times left out; and all speech joined."""
    lines: list[tuple[object, ...]] = []
    audio = [np.zeros(0, np.float32)]
    for event in events:
        if isinstance(event, Caption):
            lines.append(
                (event.source_ms, event.lang, event.segment, event.revision, event.stable, event.unstable, event.final)
            )
        elif isinstance(event, Words):
            lines.append((event.source_ms, event.segment, event.words))
        elif isinstance(event, Speech):
            lines.append((event.source_ms, event.text))
            audio.append(event.pcm)
    return lines, np.concatenate(audio)


def assert_same(one: Iterable[Event], other: Iterable[Event]) -> None:
    (lines, audio), (other_lines, other_audio) = said(one), said(other)
    assert lines == other_lines
    assert len(audio) == len(other_audio)
    assert np.allclose(audio, other_audio, atol=1e-4)


POLICIES = ("wait-k", "wait-k:k=1", "local-agreement", "hold-n")


@pytest.mark.parametrize("policy", POLICIES)
def test_any_chunking_of_the_audio_says_the_same(tiny_pipeline: Pipeline, policy: str) -> None:
    audio = talk(12)
    whole = run(tiny_pipeline.session(policy=policy, chunk_ms=320), [audio])
    assert any(isinstance(event, Words) for event in whole)
    rng = np.random.default_rng(3)
    for high in (300, 5_000, 40_000):
        sizes = rng.integers(0, high, size=2 * len(audio) // high)
        assert_same(run(tiny_pipeline.session(policy=policy, chunk_ms=320), pieces(audio, sizes)), whole)


def test_two_interleaved_sessions_equal_two_separate_ones(tiny_pipeline: Pipeline) -> None:
    one, other = talk(8, 1), talk(8, 2)
    alone = [run(tiny_pipeline.session(policy="wait-k"), [audio]) for audio in (one, other)]
    first, second = tiny_pipeline.session(policy="wait-k"), tiny_pipeline.session(policy="wait-k")
    together: tuple[list[Event], list[Event]] = ([], [])
    for start in range(0, len(one), 4_000):
        together[0].extend(first.push(one[start : start + 4_000]))
        together[1].extend(second.push(other[start : start + 4_000]))
    together[0].extend(first.finish())
    together[1].extend(second.finish())
    for expected, found in zip(alone, together, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_restored_snapshot_goes_on_as_if_nothing_had_happened(tiny_pipeline: Pipeline, policy: str) -> None:
    audio = talk(10, 4)
    whole = run(tiny_pipeline.session(policy=policy), [audio])
    session = tiny_pipeline.session(policy=policy)
    events: list[Event] = []
    for piece in np.array_split(audio, 23):
        events.extend(session.push(piece))
        session = Session.restore(session.snapshot(), tiny_pipeline.models)
    assert_same([*events, *session.finish()], whole)


def test_words_are_the_stable_captions_and_never_change(tiny_pipeline: Pipeline) -> None:
    events = run(tiny_pipeline.session(policy="wait-k:k=1"), [talk(15, 5)])
    by_segment: dict[int, list[str]] = {}
    shown: dict[int, str] = {}
    for event in events:
        if isinstance(event, Words):
            by_segment.setdefault(event.segment, []).extend(event.words)
        elif isinstance(event, Caption) and event.lang == "de":
            assert event.stable.startswith(shown.get(event.segment, ""))
            shown[event.segment] = event.stable
    assert {n: " ".join(words) for n, words in by_segment.items()} == {n: text for n, text in shown.items() if text}


def test_words_tell_what_they_were_read_from_and_never_the_future(tiny_pipeline: Pipeline) -> None:
    events = run(tiny_pipeline.session(policy="wait-k:k=1"), [talk(15, 5)])
    words = [event for event in events if isinstance(event, Words)]
    assert any(event.aligned_ms for event in words)
    for event in words:
        assert len(event.aligned_ms) in (0, len(event.words))
        assert all(0 < at_ms <= event.source_ms for at_ms in event.aligned_ms)


def test_speech_tells_its_words_and_no_word_waits_while_the_listener_has_nothing_to_hear(
    tiny_pipeline: Pipeline,
) -> None:
    session = tiny_pipeline.session(policy="wait-k:k=1", latency="minimal")
    committed: list[tuple[str, float]] = []
    heard: list[tuple[str, float]] = []
    until_ms, dry = 0.0, {0.0: True}  # whether the listener would run dry before the chunk after this time
    hurried, ended = 0, set[float]()
    for piece in np.split(talk(15, 5), np.arange(1, 15 * 1000 // session.chunk_ms) * session.chunk_ms * 16):
        events = session.push(piece)
        if not events:
            continue
        now_ms = events[0].source_ms
        fresh = any(isinstance(event, Words) for event in events)
        ended |= {event.source_ms for event in events if isinstance(event, Caption) and event.final}
        for event in events:
            if isinstance(event, Words):
                committed += [(word, event.source_ms) for word in event.words if spoken(word)]
            elif isinstance(event, Speech):
                hurried += not fresh and now_ms not in ended
                heard += [(word, event.source_ms) for word in event.text.split() if spoken(word)]
                until_ms = max(until_ms, now_ms) + len(event.pcm) / event.sample_rate_hz * 1000
        dry[now_ms] = until_ms < now_ms + session.chunk_ms
    assert hurried > 0
    assert [word for word, _ in heard] == [word for word, _ in committed][: len(heard)]
    assert len(heard) >= len(committed) - 1
    for (word, given_ms), (_, said_ms) in zip(committed, heard, strict=False):
        checked_ms = said_ms - session.chunk_ms
        if checked_ms - given_ms >= WORD_WAIT_MS and not leans(word):
            assert not dry.get(checked_ms, True), f"{word} waited from {given_ms} to {said_ms}"


def test_every_segment_is_closed_and_counted(tiny_pipeline: Pipeline) -> None:
    events = run(tiny_pipeline.session(policy="wait-k"), [talk(20, 6)])
    finished = events[-1]
    assert isinstance(finished, Finished)
    closed = {event.segment for event in events if isinstance(event, Caption) and event.final and event.lang == "en"}
    assert closed == set(range(finished.segments))
    assert finished.segments > 1
    assert finished.samples == 20 * 16_000


def test_nothing_is_said_of_no_audio(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session()
    assert session.push(np.zeros(0, np.float32)) == []
    assert not [event for event in session.finish() if isinstance(event, Words)]


def test_memory_of_a_long_stream_is_bounded(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session(policy="wait-k", speech=False)
    empty = len(session.snapshot())
    for seed in range(6):
        session.push(talk(20, seed))
        assert len(session.snapshot()) < empty + 60_000


def test_bad_audio_is_refused_and_the_session_goes_on(tiny_pipeline: Pipeline) -> None:
    audio = talk(4, 7)
    expected = run(tiny_pipeline.session(), [audio])
    session = tiny_pipeline.session()
    events = list(session.push(audio[:20_000]))
    with pytest.raises(InputError, match=r"shape \(2, 100\) is not mono"):
        session.push(np.zeros((2, 100), np.float32))
    with pytest.raises(InputError, match="holds 2 values that are not numbers"):
        session.push(np.array([0, np.nan, np.inf], np.float32))
    with pytest.raises(InputError, match=r"holds a value of 1e\+30; -1 to 1 is usual, at most 32768 is allowed"):
        session.push(np.array([0, -1e30], np.float32))
    assert_same([*events, *session.push(audio[20_000:]), *session.finish()], expected)


def test_a_finished_session_says_so(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session()
    session.finish()
    with pytest.raises(InputError, match="finished"):
        session.push(np.zeros(1, np.float32))
    with pytest.raises(InputError, match="finished"):
        session.finish()


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"chunk_ms": "320"}, "a chunk of '320' ms is not possible; allowed: multiples of 80 ms"),
        ({"chunk_ms": 320.0}, "a chunk of 320.0 ms is not possible; allowed: multiples of 80 ms"),
        ({"chunk_ms": True}, "a chunk of True ms is not possible; allowed: multiples of 80 ms"),
        ({"target": 5}, "target language 5 is not available; allowed: de"),
        ({"target": ["de"]}, "target language .* is not available; allowed: de"),
        ({"policy": 5}, "policy 5 is not possible; allowed: wait-k, "),
        ({"policy": WaitK()}, r"policy WaitK\(.* is not possible; allowed: wait-k, "),
        ({"latency": 2}, "unknown latency 2; allowed: minimal"),
        ({"speech": "no"}, "speech 'no' is not possible; allowed: True, False"),
        ({"glossary": 3}, "glossary: int is no list"),
        ({"glossary": None}, "glossary: NoneType is no list"),
    ],
)
def test_a_wish_of_another_type_is_named_with_what_is_allowed(
    tiny_pipeline: Pipeline, wishes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        tiny_pipeline.session(**wishes)


def test_impossible_wishes_are_named_with_what_is_allowed(tiny_pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="target language 'fr' is not available; allowed: de"):
        tiny_pipeline.session(target="fr")
    with pytest.raises(
        InputError, match=r"chunk of 100 ms is not possible; allowed: multiples of 80 ms from 160 to 2560 ms"
    ):
        tiny_pipeline.session(chunk_ms=100)
    with pytest.raises(InputError, match=r"allowed: .*wait-k"):
        tiny_pipeline.session(policy="wait")
    with pytest.raises(InputError, match="allowed: minimal"):
        tiny_pipeline.session(latency="fast")
    with pytest.raises(ConfigError, match="policy ctc-guided needs target-ctc"):
        Session(tiny_pipeline.models, make_policy("ctc-guided"), SessionOptions())
    for data in (b"garbage", b"abc", b"", tiny_pipeline.session().snapshot()[:-100]):
        with pytest.raises(InputError, match=r"not a snapshot of a session: ."):
            Session.restore(data, tiny_pipeline.models)


@pytest.mark.parametrize(
    ("behind_s", "rate", "pauses"),
    [(0, 1, 1), (0.5, 1, 1), (1.0, 1, 0.6), (1.5, 1, 0.2), (2.5, 1.125, 0.2), (3.5, 1.25, 0.2), (60, 1.25, 0.2)],
)
def test_who_falls_behind_first_shortens_silences_and_then_speaks_faster(
    behind_s: float, rate: float, pauses: float
) -> None:
    assert pace(behind_s) == (pytest.approx(rate), pytest.approx(pauses))
