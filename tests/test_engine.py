"""Sessions that share an engine say what each says alone; what fails, fails alone."""

import threading
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from seams import spoken_by

from streamst.engine import Batch, Engine, EngineOptions
from streamst.errors import InputError
from streamst.events import Caption, Event, Speech, Words
from streamst.models.seam import Hear, Speak, Write
from streamst.models.speak.voice import GermanVoice
from streamst.models.translator import SpeechTranslator
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
    engine = Engine(tiny_pipeline.models, options, seen.append)
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
    engine = Engine(tiny_pipeline.models, EngineOptions(window_ms=20))
    try:
        broken = tiny_pipeline.session()
        broken._at = replace(broken._at, ear=None)
        futures = [engine.submit(s.hearing(babble(1, n)), n) for n, s in enumerate([good[0], broken, good[1]])]
        with pytest.raises(AttributeError):
            futures[1].result(30)
        assert isinstance(futures[0].result(30), list)
        assert isinstance(futures[2].result(30), list)
        assert engine.submit(good[0].ending(), 0).result(30)
    finally:
        engine.close()


def test_bad_audio_is_the_askers_error_and_the_session_goes_on(tiny_pipeline: Pipeline) -> None:
    session = tiny_pipeline.session()
    engine = Engine(tiny_pipeline.models)
    try:
        with pytest.raises(InputError, match="not numbers"):
            engine.submit(session.hearing(np.full(100, np.nan, np.float32)), 1).result(30)
        engine.submit(session.hearing(babble(1, 0)), 1).result(30)
        assert engine.submit(session.ending(), 1).result(30)
    finally:
        engine.close()


def test_a_step_cancelled_before_its_turn_never_runs(tiny_pipeline: Pipeline) -> None:
    engine = Engine(tiny_pipeline.models)
    ran: list[str] = []
    cancelled = threading.Event()

    def slow() -> Generator[Any, Any, None]:
        ran.append("slow")
        cancelled.wait(10)
        yield from ()

    def never() -> Generator[Any, Any, None]:
        ran.append("never")
        yield from ()

    try:
        first = engine.submit(slow(), 1)
        while not ran:
            pass
        second = engine.submit(never(), 2)
        assert second.cancel()
        cancelled.set()
        first.result(10)
        engine.submit(never(), 3).result(10)
    finally:
        engine.close()
    assert ran == ["slow", "never"]


def test_a_closed_engine_cancels_what_waits_and_takes_nothing_more(tiny_pipeline: Pipeline) -> None:
    engine = Engine(tiny_pipeline.models, EngineOptions(window_ms=60_000, patience_ms=60_000))
    future = engine.submit(tiny_pipeline.session().hearing(babble(1, 0)), 1)
    while not engine._jobs:
        pass
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        future.result(1)
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(tiny_pipeline.session().ending(), 1)


def test_work_of_one_kind_in_a_batch_is_the_work_one_by_one(
    tiny_pipeline: Pipeline, tiny_translator: SpeechTranslator
) -> None:
    recogniser, pen, voice = tiny_translator.recogniser, tiny_translator.pen, tiny_pipeline.voice
    assert isinstance(voice, GermanVoice)
    sizes = [recogniser.chunk_samples(chunk) for chunk in (160, 320, 320, 640)]
    states = [recogniser.init_state() for _ in sizes]
    for turn in range(6):
        talks = [babble(1, 10 * turn + s)[:size] for s, size in enumerate(sizes)]
        wanted = [Hear(t, s, turn == 5 and n == 1, len(t)) for n, (t, s) in enumerate(zip(talks, states, strict=True))]
        batched = recogniser.hear_all(wanted)
        for one, found in zip(wanted, batched, strict=True):
            (own,) = recogniser.hear_all([one])
            assert own.tokens == found.tokens
            for mine, other in zip(own.listener.tensors(), found.listener.tensors(), strict=True):
                assert np.allclose(mine, other, atol=1e-4)
        states = batched
    prefixes = [(), (5,), (5, 6, 7), ()]
    heard = [recogniser.listening(state) for state in states]
    wishes = [
        Write(one.words, one.frames, p, n == 2, "de") for n, (one, p) in enumerate(zip(heard, prefixes, strict=True))
    ]
    assert any(one.words for one in heard)
    for wish, found in zip(wishes, pen.write_all(wishes), strict=True):
        (alone,) = pen.write_all([wish])
        assert alone.tokens == found.tokens
        assert alone.alignment == found.alignment
        assert np.allclose(alone.log_probs, found.log_probs, atol=1e-4)
    lines = [("du",), ("bist", "am", "See"), ()]
    spoken = [Speak(words, voice.init_state(), n != 1, 1.0) for n, words in enumerate(lines)]
    for wish, (pcm, state) in zip(spoken, voice.speak_all(spoken), strict=True):
        alone, after = spoken_by(voice, wish.words, wish.state, final=wish.final)
        assert len(alone) == len(pcm)
        assert np.allclose(alone, pcm, atol=1e-4)
        assert after.held == state.held
