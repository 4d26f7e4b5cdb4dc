"""StreamST as LiveKit's translation model, in LiveKit's own sessions, against a real server."""

# ruff: noqa: F811  (fixtures that are imported have the names of the tests' parameters)

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapted import CLIP, finals, native, server, talk  # noqa: F401
from cutting import CuttingProxy
from livekit import rtc
from livekit.agents import APIConnectionError, APIStatusError
from livekit.agents.beta.translation import OutputSpeechStopped, TranslatedAudioFrame, TranslationSession
from livekit.agents.voice import io
from livekit_frames import ONCE, frames
from serving import PATIENCE_S, get, health, running, stopping

from streamst.audio import Pcm, from_pcm16, resample
from streamst.events import Speech
from streamst.integrations.livekit import StreamstTranslation
from streamst.pipeline import Pipeline


class Heard:
    """Everything that a model's session tells."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.told: list[tuple[str, Any]] = []
        for name in ("input_transcript", "output_transcript", "input_speech_started", "input_speech_stopped", "error"):
            session.on(name, lambda event, name=name: self.told.append((name, event)))
        self.audio: list[TranslatedAudioFrame | OutputSpeechStopped] = []

    async def out(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            async for item in self.session.audio_stream:
                self.audio.append(item)

    def of(self, kind: str) -> list[Any]:
        return [event for name, event in self.told if name == kind]

    @property
    def pcm(self) -> Pcm:
        pieces = [from_pcm16(bytes(a.frame.data.cast("B"))) for a in self.audio if isinstance(a, TranslatedAudioFrame)]
        return np.concatenate([np.zeros(0, np.float32), *pieces])


def heard(server: str, pushed: list[rtc.AudioFrame], **options: Any) -> Heard:
    async def go() -> Heard:
        async with StreamstTranslation(server, **options) as model:
            heard = Heard(model.session())
            for frame in pushed:
                heard.session.push_audio(frame)
            heard.session.end_input()
            await heard.out()
            return heard

    return asyncio.run(go())


def test_a_talk_is_word_for_word_and_sample_for_sample_what_the_native_client_gets(
    server: str, talk: Pcm, native: list[Any]
) -> None:
    told = heard(server, frames(talk))
    said, segments = "", []
    for event in told.of("output_transcript"):
        said += event.text
        assert event.language == "de"
        if event.is_final:
            segments.append(said)
            said = ""
    assert segments == finals(native, "de")
    assert [event.text for event in told.of("input_transcript") if event.is_final] == finals(native, "en")
    speech = np.concatenate([event.pcm for event in native if isinstance(event, Speech)])
    assert len(told.pcm) == len(speech)
    assert np.abs(told.pcm - speech).max() < 2 / 32_768
    assert sum(isinstance(item, OutputSpeechStopped) for item in told.audio) == len(segments)
    assert isinstance(told.audio[-1], OutputSpeechStopped)
    started, stopped = told.of("input_speech_started"), told.of("input_speech_stopped")
    assert len(started) == len(stopped) == len(finals(native, "en"))


def test_frames_of_changing_rates_stereo_and_empty_ones_are_one_talk(server: str, talk: Pcm) -> None:
    half = len(talk) // 2
    mixed = [
        *frames(talk[:half], channels=2),
        rtc.AudioFrame(b"", 16_000, 1, 0),
        *frames(resample(talk[half:], 16_000, 48_000), 48_000, 960),
    ]
    told = heard(server, mixed)
    assert not told.of("error")
    assert told.of("output_transcript")


def test_a_frame_that_is_not_usable_is_told_as_an_error_and_the_session_goes_on(server: str, talk: Pcm) -> None:
    told = heard(server, [rtc.AudioFrame(bytes(20), 100, 1, 10), *frames(talk)])
    (error,) = told.of("error")
    assert error.recoverable
    assert "100 Hz is not usable" in str(error.error)
    assert told.of("output_transcript")


class Microphone(io.AudioInput):
    def __init__(self, pushed: list[rtc.AudioFrame]) -> None:
        super().__init__(label="microphone")
        self._frames = iter(pushed)

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0)
        try:
            return next(self._frames)
        except StopIteration:
            raise StopAsyncIteration from None


class Loudspeaker(io.AudioOutput):
    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=24_000)
        self.samples, self.flushes = 0, 0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        assert frame.sample_rate == 24_000
        self.samples += frame.samples_per_channel

    def flush(self) -> None:
        super().flush()
        self.flushes += 1

    def clear_buffer(self) -> None:
        """Nothing waits."""


def test_in_livekits_own_session_both_transcripts_and_the_speech_come_through(
    server: str, talk: Pcm, native: list[Any]
) -> None:
    async def go() -> tuple[list[Any], list[Any], Loudspeaker]:
        async with StreamstTranslation(server) as model:
            session: TranslationSession[None] = TranslationSession(model=model)
            session.input.audio = Microphone(frames(np.concatenate([talk, np.zeros(48_000, np.float32)])))
            session.output.audio = loudspeaker = Loudspeaker()
            source, target = [], []
            session.on("user_input_transcribed", source.append)
            session.on("translation_transcribed", target.append)
            await session.start()
            async with asyncio.timeout(PATIENCE_S):
                while not loudspeaker.flushes or not target[-1].is_final:
                    await asyncio.sleep(0.02)
            await session.aclose()
            return source, target, loudspeaker

    source, target, loudspeaker = asyncio.run(go())
    assert next(event.transcript for event in source if event.is_final) == finals(native, "en")[0]
    said = ""
    for event in target:
        said += event.transcript
        if event.is_final:
            break
    assert said == finals(native, "de")[0]
    assert loudspeaker.samples > 1000


def test_who_is_silent_for_longer_than_the_server_waits_is_heard_when_they_come_back(
    tiny_pipeline: Pipeline, talk: Pcm
) -> None:
    async def go(address: str) -> Heard:
        async with StreamstTranslation(address) as model:
            heard = Heard(model.session())
            for _ in range(2):
                for frame in frames(talk):
                    heard.session.push_audio(frame)
                async with asyncio.timeout(PATIENCE_S):
                    while health(address)["sessions"] or not heard.of("output_transcript"):
                        await asyncio.sleep(0.05)  # its place is free again
            heard.session.end_input()
            await heard.out()
            return heard

    with running(tiny_pipeline, idle_s=2.0) as address:
        told = asyncio.run(go(address))
    assert not told.of("error")
    lines = [event.text for event in told.of("input_transcript") if event.is_final]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :] != []


def test_clear_audio_drops_what_nobody_has_read_and_ends_the_phrase(server: str, talk: Pcm) -> None:
    async def go() -> list[Any]:
        async with StreamstTranslation(server) as model:
            heard = Heard(model.session())
            for frame in frames(talk):
                heard.session.push_audio(frame)
            async with asyncio.timeout(PATIENCE_S):
                while not any(event.is_final for event in heard.of("output_transcript")):
                    await asyncio.sleep(0.02)
            told = 0
            while told < len(heard.told):  # as long as more is said
                told = len(heard.told)
                await asyncio.sleep(1.0)
            heard.session.clear_audio()
            first = await anext(aiter(heard.session.audio_stream))
            return [first]

    assert isinstance(asyncio.run(go())[0], OutputSpeechStopped)


def test_another_language_is_refused_by_name_and_the_same_goes_on(server: str, talk: Pcm) -> None:
    async def go() -> Heard:
        async with StreamstTranslation(server) as model:
            heard = Heard(model.session())
            for frame in frames(talk):
                heard.session.push_audio(frame)
            async with asyncio.timeout(PATIENCE_S):
                while not heard.of("output_transcript"):
                    await asyncio.sleep(0.02)
            with pytest.raises(RuntimeError, match=r"'fr' is not translated into here; allowed: de"):
                heard.session.update_options(target_language="fr")
            heard.session.update_options(target_language="de")
            for frame in frames(talk):
                heard.session.push_audio(frame)
            heard.session.end_input()
            await heard.out()
            return heard

    told = asyncio.run(go())
    assert not told.of("error")
    lines = [event.text for event in told.of("input_transcript") if event.is_final]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :] != []


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"url": "ws://127.0.0.1:9"}, APIConnectionError, "no StreamST server answers"),
        ({"target_language": "tlh"}, APIStatusError, "'tlh'"),
        ({"latency": "soon"}, APIStatusError, "'soon'"),
    ],
)
def test_what_is_not_possible_is_livekits_own_error_and_ends_the_audio(
    server: str, talk: Pcm, options: dict[str, Any], kind: type, told: str
) -> None:
    found = heard(**{"server": server, "pushed": frames(talk[:3200]), "conn_options": ONCE} | _renamed(options))
    (error,) = found.of("error")
    assert not error.recoverable
    assert isinstance(error.error, kind)
    assert told in str(error.error)


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    return {"server" if name == "url" else name: value for name, value in options.items()}


def test_a_wrong_key_and_a_full_server_are_told_apart(tiny_pipeline: Pipeline, talk: Pcm, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')
    with running(tiny_pipeline, api_keys=str(keys), max_sessions=1) as address:
        wrong = heard(address, frames(talk[:3200]), token="somebody-elses-key-1", conn_options=ONCE)
        right = heard(address, frames(talk[:3200]), token="a-key-of-our-own-1234", conn_options=ONCE)
        status, _, _ = get(
            f"{address}/v1/sessions",
            b"{}",
            authorization="Bearer a-key-of-our-own-1234",
            content_type="application/json",
        )
        full = heard(address, frames(talk[:3200]), token="a-key-of-our-own-1234", conn_options=ONCE)
    assert [event.error.status_code for event in wrong.of("error")] == [401]
    assert not right.of("error")
    assert status == 201
    (error,) = full.of("error")
    assert isinstance(error.error, APIConnectionError)


def test_a_connection_that_is_cut_again_and_again_is_not_noticed(server: str, talk: Pcm, native: list[Any]) -> None:
    async def go() -> tuple[Heard, int]:
        async with (
            CuttingProxy(server, 1, cuts=6, most_bytes=60_000) as proxy,
            StreamstTranslation(proxy.address) as model,
        ):
            heard = Heard(model.session())
            for frame in frames(talk):
                heard.session.push_audio(frame)
            heard.session.end_input()
            await heard.out()
            return heard, proxy.cuts

    told, cuts = asyncio.run(go())
    assert cuts
    assert not told.of("error")
    assert "".join(event.text for event in told.of("output_transcript")) == "".join(finals(native, "de"))


def test_a_server_that_drains_says_the_rest_and_what_follows_is_livekits_own_error(
    tiny_pipeline: Pipeline, talk: Pcm
) -> None:
    async def go(address: str, stop: Callable[[], None]) -> Heard:
        async with StreamstTranslation(address, conn_options=ONCE) as model:
            heard = Heard(model.session())
            out = asyncio.create_task(heard.out())
            for frame in frames(talk):
                heard.session.push_audio(frame)
            async with asyncio.timeout(PATIENCE_S):
                while not heard.of("output_transcript"):
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(stop)
                while not out.done():
                    with contextlib.suppress(RuntimeError):  # once it is closed
                        heard.session.push_audio(frames(talk)[0])
                    await asyncio.sleep(0.02)
            assert len(asyncio.all_tasks()) <= 2, "this one, and the one that closes"
            return heard

    with stopping(tiny_pipeline, drain_s=0.1) as (address, stop):
        told = asyncio.run(go(address, stop))
    assert [event.recoverable for event in told.of("error")][-1] is False
    assert all(isinstance(event.error, APIConnectionError) for event in told.of("error"))


def test_after_its_end_a_session_takes_nothing_and_may_be_closed_twice(server: str, talk: Pcm) -> None:
    async def go() -> None:
        model = StreamstTranslation(server)
        session = model.session()
        session.push_audio(frames(talk)[0])
        await session.aclose()
        await session.aclose()
        session.clear_audio()
        with pytest.raises(RuntimeError, match="is closed"):
            session.push_audio(frames(talk)[0])
        assert [item async for item in session.audio_stream] == []
        await model.aclose()

    asyncio.run(go())


def test_a_hundred_sessions_leave_no_task_behind(server: str) -> None:
    async def go() -> int:
        async with StreamstTranslation(server) as model:
            for number in range(100):
                session = model.session()
                session.push_audio(frames(np.zeros(1600, np.float32))[0])
                await asyncio.sleep(0.01 * (number % 3))
                await session.aclose()
        async with asyncio.timeout(PATIENCE_S):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.05)
        return len(asyncio.all_tasks())

    assert asyncio.run(go()) == 1, "this very one"
    gc.collect()
