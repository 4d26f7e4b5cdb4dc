"""Sessions that share an engine say what each says alone; what fails, fails alone."""

import time
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from streamst.engine import Batch, Engine, EngineOptions
from streamst.errors import InputError
from streamst.events import Caption, Event, Speech, Words
from streamst.models.seam import Encode, Hypothesise, Speak
from streamst.models.speak.voice import GermanVoice
from streamst.pipeline import Pipeline
from streamst.session import Session

CHUNK = 5120


def babble(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0, 0.3, int(seconds * 2) + 1) * (rng.random(int(seconds * 2) + 1) > 0.3), 8000)
    return (rng.standard_normal(int(seconds * 16_000)) * loud[: int(seconds * 16_000)]).astype(np.float32)


def told(events: list[Event]) -> tuple[list[tuple[object, ...]], np.ndarray]:
    lines: list[tuple[object, ...]] = []
    audio = [np.zeros(0, np.float32)]
    for event in events:
        match event:
            case Caption():
                lines.append((event.source_ms, event.lang, event.stable, event.unstable, event.final))
            case Words():
                lines.append((event.source_ms, event.words))
            case Speech():
                audio.append(event.pcm)
            case _:
                pass
    return lines, np.concatenate(audio)


def together(engine: Engine, sessions: list[Session], talks: list[np.ndarray]) -> list[list[Event]]:
    """Everybody's next piece is asked for as soon as the piece before is done, all at once."""
    events: list[list[Event]] = [[] for _ in sessions]
    for start in range(0, max(map(len, talks)), CHUNK):
        asked: dict[int, Future[list[Event]]] = {}
        for number, (session, talk) in enumerate(zip(sessions, talks, strict=True)):
            piece = talk[start : start + CHUNK]
            if len(piece):
                asked[number] = engine.submit(session.hearing(piece), number)
        for number, future in asked.items():
            events[number] += future.result(60)
    last = [engine.submit(session.ending(), number) for number, session in enumerate(sessions)]
    for number, future in enumerate(last):
        events[number] += future.result(60)
    return events


@pytest.mark.parametrize("policy", ["wait-k", "local-agreement", "alignatt"])
def test_many_sessions_together_say_what_each_says_alone(tiny_pipeline: Pipeline, policy: str) -> None:
    talks = [babble(4 + number, number) for number in range(5)]
    alone = []
    for talk in talks:
        session = tiny_pipeline.session(policy=policy)
        events = [event for start in range(0, len(talk), CHUNK) for event in session.push(talk[start : start + CHUNK])]
        alone.append(told([*events, *session.finish()]))
    assert any(lines for lines, _ in alone)
    options = EngineOptions(window_ms=5)
    seen: list[Batch] = []
    engine = Engine(tiny_pipeline.translator, tiny_pipeline.voice, options, seen.append)
    try:
        found = together(engine, [tiny_pipeline.session(policy=policy) for _ in talks], talks)
    finally:
        engine.close()
    for events, (lines, audio) in zip(found, alone, strict=True):
        own, spoken = told(events)
        assert own == lines
        assert len(spoken) == len(audio)
        assert np.allclose(spoken, audio, atol=1e-3)  # random weights; the shipped voice is held to 1e-4 elsewhere
    batches = [(batch.kind, len(batch.waited_s)) for batch in seen]
    assert {kind for kind, _ in batches} == {"encode", "hypothesise", "speak"}
    assert max(size for kind, size in batches if kind == "encode") > 1
    assert max(size for kind, size in batches if kind == "hypothesise") > 1


def test_one_session_that_fails_takes_nobody_with_it(tiny_pipeline: Pipeline) -> None:
    good = [tiny_pipeline.session() for _ in range(2)]
    engine = Engine(tiny_pipeline.translator, tiny_pipeline.voice, EngineOptions(window_ms=20))
    try:
        broken = tiny_pipeline.session()
        broken._hearing = None  # type: ignore[assignment]
        futures = [engine.submit(s.hearing(babble(0.32, n)), n) for n, s in enumerate([good[0], broken, good[1]])]
        with pytest.raises(AttributeError):
            futures[1].result(30)
        assert isinstance(futures[0].result(30), list)
        assert isinstance(futures[2].result(30), list)
        assert engine.submit(good[0].ending(), 0).result(30)
    finally:
        engine.close()


def test_bad_audio_is_the_askers_error_and_the_session_goes_on(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session()
    engine = Engine(tiny_pipeline.translator, tiny_pipeline.voice)
    try:
        with pytest.raises(InputError, match="not numbers"):
            engine.submit(session.hearing(np.full(100, np.nan, np.float32)), 1).result(30)
        engine.submit(session.hearing(babble(1, 0)), 1).result(30)
        assert engine.submit(session.ending(), 1).result(30)
    finally:
        engine.close()


def test_a_step_cancelled_before_its_turn_never_runs(tiny_pipeline: Pipeline) -> None:
    engine = Engine(tiny_pipeline.translator, tiny_pipeline.voice)
    ran: list[str] = []

    def slow() -> Generator[Any, Any, None]:
        ran.append("slow")
        time.sleep(0.3)
        return
        yield

    def never() -> Generator[Any, Any, None]:
        ran.append("never")
        return
        yield

    try:
        first = engine.submit(slow(), 1)
        while not ran:
            pass
        second = engine.submit(never(), 2)
        assert second.cancel()
        first.result(10)
        engine.submit(never(), 3).result(10)
    finally:
        engine.close()
    assert ran == ["slow", "never"]


def test_a_closed_engine_cancels_what_waits_and_takes_nothing_more(tiny_pipeline: Pipeline) -> None:
    engine = Engine(tiny_pipeline.translator, tiny_pipeline.voice, EngineOptions(window_ms=60_000, patience_ms=60_000))
    future = engine.submit(tiny_pipeline.session().hearing(babble(1, 0)), 1)
    while not engine._jobs:
        pass
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        future.result(1)
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(tiny_pipeline.session().ending(), 1)


def test_work_of_one_kind_in_a_batch_is_the_work_one_by_one(tiny_pipeline: Pipeline) -> None:
    translator, voice = tiny_pipeline.translator, tiny_pipeline.voice
    assert isinstance(voice, GermanVoice)
    states = [translator.init_state(chunk, "de") for chunk in (160, 320, 320, 640)]
    talks = [babble(s, s) for s in (2, 3, 5, 4)]
    wanted = [Encode(t, s, final=n == 1) for n, (t, s) in enumerate(zip(talks, states, strict=True))]
    batched = translator.encode_all(wanted)
    for n, (talk, state, found) in enumerate(zip(talks, states, batched, strict=True)):
        own = translator.encode(talk, state, final=n == 1)
        assert [t.token for t in own.tokens] == [t.token for t in found.tokens]
        for one, other in zip(own.listener.tensors(), found.listener.tensors(), strict=True):
            assert np.allclose(one, other, atol=1e-4)
    prefixes = [(), (5,), (5, 6, 7), ()]
    wishes = [Hypothesise(s, p, final=n == 2) for n, (s, p) in enumerate(zip(batched, prefixes, strict=True))]
    assert any(len(s.tokens) for s in batched)
    for wish, found in zip(wishes, translator.hypothesise_all(wishes), strict=True):
        alone = translator.hypothesise(wish.state, wish.prefix, wish.final)
        assert alone.tokens == found.tokens
        assert alone.alignment == found.alignment
        assert np.allclose(alone.log_probs, found.log_probs, atol=1e-4)
    lines = [("du",), ("bist", "am", "See"), ()]
    spoken = [Speak(words, voice.init_state(), n != 1, 1.0) for n, words in enumerate(lines)]
    for wish, (pcm, state) in zip(spoken, voice.speak_all(spoken), strict=True):
        alone, after = voice.speak(wish.words, wish.state, final=wish.final)
        assert len(alone) == len(pcm)
        assert np.allclose(alone, pcm, atol=1e-4)
        assert after.held == state.held
