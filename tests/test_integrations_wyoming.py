"""Our Wyoming server against Wyoming's own client."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice
from wyoming_clients import PATIENCE_S, asked, heard, serving, spoken, stoppable

from streamst.audio import from_pcm16, read_audio, to_pcm16
from streamst.errors import InputError
from streamst.events import Caption, Words
from streamst.integrations.wyoming import House, open_server
from streamst.integrations.wyoming_parts import Hearing, Limits, glossary_of
from streamst.models.speak.aloud import Aloud
from streamst.pipeline import Pipeline

CLIP = Path(__file__).parent / "data" / "station.flac"
FORM = {"rate": 16_000, "width": 2, "channels": 1}


@pytest.fixture(scope="module")
def house(tiny_pipeline: Pipeline) -> Iterator[House]:
    house = House(tiny_pipeline)
    yield house
    house.close()


@pytest.fixture(scope="module")
def ask(house: House) -> Callable[..., list[Event]]:
    """What one client, who says all this, is answered."""

    def ask(*said: Any, last: str) -> list[Event]:
        async def go() -> list[Event]:
            async with serving(house) as uri:
                return await asked(uri, *said, last=last)

        return asyncio.run(go())

    return ask


def text_of(events: list[Event]) -> str:
    (text,) = [event.data["text"] for event in events if event.type == "transcript"]
    return text


def pcm_of(events: list[Event]) -> np.ndarray:
    return np.concatenate([from_pcm16(event.payload or b"") for event in events if event.type == "audio-chunk"])


def errors(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(error.code, error.text) for e in events if e.type == "error" for error in [Error.from_event(e)]]


def test_it_tells_what_it_hears_writes_and_speaks(ask: Callable[..., list[Event]]) -> None:
    (event,) = ask(Describe(), last="info")
    info = Info.from_event(event)
    assert info.asr[0].models[0].languages == ["de", "en"]
    assert info.asr[0].supports_transcript_streaming
    assert info.tts[0].voices[0].languages == ["de"]
    assert info.tts[0].supports_synthesize_streaming


@pytest.mark.parametrize("language", [None, "de-DE", "en"])
def test_a_talk_is_what_a_session_says_word_for_word(
    tiny_pipeline: Pipeline, ask: Callable[..., list[Event]], language: str | None
) -> None:
    talk = np.tile(from_pcm16(to_pcm16(read_audio(CLIP))), 2)
    session = tiny_pipeline.session(speech=False)
    events = [*session.push(talk), *session.finish()]
    german = " ".join(word for event in events if isinstance(event, Words) for word in event.words)
    english = {event.segment: event.stable for event in events if isinstance(event, Caption) and event.lang == "en"}

    said = ask(Transcribe(language=language), *spoken(talk), last="transcript-stop")
    assert text_of(said) == (" ".join(filter(None, english.values())) if language == "en" else german)
    assert "".join(event.data["text"] for event in said if event.type == "transcript-chunk") == text_of(said)
    assert [event.type for event in said if event.type != "transcript-chunk"] == [
        "transcript-start", "transcript", "transcript-stop"
    ]  # fmt: skip
    assert len(said) >= 5, "words come while it is spoken"


def test_stereo_other_rates_and_widths_that_change_from_frame_to_frame_are_one_talk(
    ask: Callable[..., list[Event]],
) -> None:
    from streamst.audio import resample

    pcm = from_pcm16(to_pcm16(read_audio(CLIP)))
    both = np.repeat(pcm, 2)
    wide = (np.repeat(pcm[16_000:], 2) * 32_768).astype("<i4") * 65_536
    frames = [
        AudioChunk(16_000, 2, 2, to_pcm16(both[:32_000])),
        AudioChunk(16_000, 4, 2, wide.astype("<i4").tobytes()),
    ]
    plain = text_of(ask(*spoken(pcm), last="transcript-stop"))
    assert text_of(ask(*frames, AudioStop(), last="transcript-stop")) == plain
    higher = [*spoken(resample(pcm, 16_000, 48_000), 48_000)]
    assert text_of(ask(*higher, last="transcript-stop"))
    mixed = [*spoken(pcm[:16_000])[:-1], *spoken(resample(pcm[16_000:], 16_000, 44_100), 44_100)[1:]]
    assert text_of(ask(*mixed, last="transcript-stop"))


def test_a_second_talk_on_the_same_connection_starts_afresh(ask: Callable[..., list[Event]]) -> None:
    pcm = read_audio(CLIP)
    once = text_of(ask(*spoken(pcm), last="transcript-stop"))
    said = ask(*spoken(pcm), *spoken(pcm), Ping("done"), last="pong")
    assert [event.data["text"] for event in said if event.type == "transcript"] == [once, once]


def test_nothing_said_is_an_empty_transcript(ask: Callable[..., list[Event]]) -> None:
    assert text_of(ask(AudioStart(**FORM), AudioStop(), last="transcript-stop")) == ""
    assert text_of(ask(AudioStop(), last="transcript-stop")) == ""
    silence = [AudioStart(**FORM), AudioChunk(audio=b"", **FORM), AudioStop()]
    assert text_of(ask(*silence, last="transcript-stop")) == ""


def test_the_voice_says_a_text_sample_for_sample_whole_or_in_pieces(
    tiny_pipeline: Pipeline, ask: Callable[..., list[Event]]
) -> None:
    text = "Guten Morgen. Wo ist der Bahnhof?"
    assert tiny_pipeline.voice is not None
    aloud = Aloud(tiny_pipeline.voice)
    pcm = from_pcm16(to_pcm16(np.concatenate([aloud.push(text), aloud.finish()])))
    whole = ask(Synthesize(text, SynthesizeVoice(language="de")), last="audio-stop")
    assert [whole[0].type, whole[-1].type] == ["audio-start", "audio-stop"]
    assert np.array_equal(pcm_of(whole), pcm)
    pieces = [SynthesizeChunk(text[at : at + 3]) for at in range(0, len(text), 3)]
    streamed = ask(
        SynthesizeStart(), *pieces, Synthesize(text), SynthesizeStop(), last="synthesize-stopped"
    )  # the whole text comes between, for servers that do not stream
    assert np.array_equal(pcm_of(streamed), pcm)
    assert [event.type for event in streamed if event.type != "audio-chunk"] == [
        "audio-start", "audio-stop", "synthesize-stopped"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ((Transcribe(language="fr"),), "bad-input", "'fr' cannot be written here; allowed: de, en"),
        ((AudioChunk(16_000, 2, 1, b"odd"),), "bad-input", "3 bytes are not whole frames"),
        ((AudioChunk(16_000, 3, 1, bytes(6)),), "bad-input", "samples of 3 bytes"),
        ((AudioChunk(100, 2, 1, bytes(6)),), "bad-input", "100 Hz is not usable"),
        ((AudioChunk(16_000, 2, 0, bytes(6)),), "bad-input", "0 channels"),
        ((Event("audio-chunk", {"rate": "16k", "width": 2, "channels": 1}, bytes(2)),), "bad-input", "'16k' is no"),
        ((Event("audio-chunk", {}, bytes(6)),), "bad-event", "audio-chunk is not whole"),
        ((Event("synthesize", {"text": 7}),), "bad-input", "must be a string, not int"),
        ((Event("synthesize", {}),), "bad-event", "synthesize is not whole"),
        ((Synthesize(" "),), "bad-input", "nothing to say"),
        ((Synthesize("ja", SynthesizeVoice(name="thorsten")),), "bad-input", "allowed: streamst-de"),
        ((Synthesize("ja", SynthesizeVoice(language="en")),), "bad-input", "speaks de, not 'en'"),
        ((Synthesize("<p>ja</p>", text_format="ssml"),), "bad-input", "allowed: text"),
        ((Synthesize("ja " * 10_000),), "bad-input", "at most 20000 characters"),
        ((SynthesizeChunk("ja"),), "bad-event", "needs a synthesize-start"),
        ((SynthesizeStop(),), "bad-event", "needs a synthesize-start"),
    ],
)
def test_what_is_not_possible_is_an_error_event_and_the_connection_stays(
    ask: Callable[..., list[Event]], said: tuple[Any, ...], code: str, told: str
) -> None:
    events = ask(*said, Event("of-tomorrow"), Ping("still there"), last="pong")
    ((found, text),) = errors(events)
    assert found == code
    assert told in text
    assert events[-1].data == {"text": "still there"}


def test_after_a_refused_language_the_audio_is_not_answered_until_one_is_asked_for_that_is_known(
    ask: Callable[..., list[Event]],
) -> None:
    talk = spoken(read_audio(CLIP)[:16_000])
    events = ask(Transcribe(language="fr"), *talk, Transcribe(language="de"), *talk, last="transcript-stop")
    assert len(errors(events)) == 2, "asked for, and begun all the same"
    assert [event.type for event in events].count("transcript") == 1


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"[1]\n",
        b"{}\n",
        b'{"type": 7}\n',
        b'{"type": "ping", "data": 7}\n',
        b'{"type": "ping", "data_length": 99999999999}\n',
        b'{"type": "audio-chunk", "payload_length": 99999999999}\n',
        b'{"type": "ping", "data_length": "x"}\n',
        b"[" * 60_000 + b"\n",
        b"x" * 200_000,
    ],
)
def test_what_is_no_event_ends_the_connection_with_an_error_event(
    house: House, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> list[Event]:
        async with serving(house) as uri, AsyncClient.from_uri(uri) as client:
            client._writer.write(line)  # type: ignore[union-attr]
            return await heard(client, "never")

    (event,) = asyncio.run(go())
    assert Error.from_event(event).code == "bad-event"
    assert not caplog.records


def test_a_client_that_leaves_in_the_midst_of_an_event_is_gone_and_nothing_is_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        async with serving(house) as uri:
            async with AsyncClient.from_uri(uri) as client:
                await client.write_event(Describe().event())
                await heard(client, "info")
                assert house.clients == 1
                line = json.dumps({"type": "audio-chunk", "payload_length": 100})
                client._writer.write(f"{line}\nhalf".encode())  # type: ignore[union-attr]
            async with asyncio.timeout(PATIENCE_S):
                while house.clients:
                    await asyncio.sleep(0.01)

    asyncio.run(go())
    gc.collect()
    assert not caplog.records


def test_a_hundred_clients_leave_no_task_and_no_place_taken(house: House) -> None:
    async def go(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            for event in spoken(np.zeros(1600, np.float32))[:-1]:
                await client.write_event(event.event())
            await heard(client, "transcript-start")

    async def all_of_them() -> int:
        async with serving(house) as uri:
            for _ in range(100):
                await go(uri)
            async with asyncio.timeout(PATIENCE_S):
                while house.clients:
                    await asyncio.sleep(0.01)
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.01)
            return len(asyncio.all_tasks())

    assert asyncio.run(all_of_them()) == 1, "this very one"


def test_who_finds_it_full_is_told_so_and_who_says_nothing_is_let_go(tiny_pipeline: Pipeline) -> None:
    house = House(tiny_pipeline, limits=Limits(clients=1, idle_s=3.0))

    async def go() -> tuple[list[Event], list[Event]]:
        async with serving(house) as uri, AsyncClient.from_uri(uri) as first:
            await first.write_event(Ping("a").event())
            await heard(first, "pong")
            refused = await asked(uri, last="never")
            return refused, await heard(first, "never")

    full, idle = asyncio.run(go())
    house.close()
    assert errors(full) == [("full", "1 clients are connected; try again later")]
    assert errors(idle) == [("idle", "nothing came for 3 s")]


@pytest.mark.parametrize("drain_s", [0.0, 600.0])
def test_a_server_that_drains_lets_a_talk_end_or_says_what_it_heard_and_tells_why(
    tiny_pipeline: Pipeline, drain_s: float
) -> None:
    talk = np.tile(from_pcm16(to_pcm16(read_audio(CLIP))), 2)
    house = House(tiny_pipeline, limits=Limits(drain_s=drain_s))

    async def go() -> tuple[list[Event], list[Event], list[Event]]:
        async with stoppable(house) as (uri, server), AsyncClient.from_uri(uri) as client:
            async with AsyncClient.from_uri(uri) as idle:
                await idle.write_event(Ping("a").event())
                await heard(idle, "pong")
                for event in spoken(talk)[:-1]:
                    await client.write_event(event.event())
                while house.clients < 2 or (await client.read_event()).type != "transcript-chunk":  # type: ignore[union-attr]
                    pass
                stopping = asyncio.create_task(server.stop())
                told_idle = await heard(idle, "never")
            late = await asked(uri, last="never") if drain_s else []
            if drain_s:
                await client.write_event(AudioStop().event())
            told = await heard(client, "never")
            async with asyncio.timeout(PATIENCE_S):
                await stopping
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.01)
        return told, told_idle, late

    told, told_idle, late = asyncio.run(go())
    house.close()
    stopped = [("draining", "the server is being stopped")]
    assert errors(told) == errors(told_idle) == stopped
    assert not drain_s or errors(late) == stopped
    assert [event.type for event in told if event.type != "transcript-chunk"] == [
        "transcript", "transcript-stop", "error"
    ]  # fmt: skip
    assert text_of(told)
    session = tiny_pipeline.session(speech=False)
    events = [*session.push(talk), *session.finish()]
    whole = " ".join(word for event in events if isinstance(event, Words) for word in event.words)
    if drain_s:
        assert text_of(told) == whole


def test_a_server_that_is_stopped_twice_goes_at_once(tiny_pipeline: Pipeline) -> None:
    house = House(tiny_pipeline, limits=Limits(drain_s=600.0))

    async def go() -> None:
        async with stoppable(house) as (uri, server), AsyncClient.from_uri(uri) as client:
            await client.write_event(spoken(read_audio(CLIP))[0].event())
            await heard(client, "transcript-start")
            first = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await server.stop()
                await first

    asyncio.run(go())
    house.close()


def test_the_commands_server_ends_by_sigterm_in_good_order(tiny_model: Path, tmp_path: Path) -> None:
    uri = f"unix://{tmp_path / 's'}"
    command = [sys.executable, "-m", "streamst", "wyoming", "--model", str(tiny_model), "--uri", uri]

    async def go(process: subprocess.Popen[str]) -> list[Event]:
        async with asyncio.timeout(PATIENCE_S):
            while not (tmp_path / "s").exists():
                assert process.poll() is None
                await asyncio.sleep(0.05)
            async with AsyncClient.from_uri(uri) as client:
                await client.write_event(Ping("a").event())
                await heard(client, "pong")
                process.terminate()
                return await heard(client, "never")

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = asyncio.run(go(process))
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert errors(told) == [("draining", "the server is being stopped")]


@pytest.mark.parametrize("uri", ["", "tcp://127.0.0.1", "http://127.0.0.1:1", "tcp://127.0.0.1:x"])
def test_an_address_that_is_none_is_told_with_those_that_are(uri: str) -> None:
    with pytest.raises(InputError, match=r"use tcp://HOST:PORT, unix://PATH or stdio://"):
        open_server(uri)


def test_names_stay_as_they_are_and_terms_are_heard_and_translated(tiny_pipeline: Pipeline) -> None:
    odd: Any = ["a dog", " ", 7, "Anna"]
    wanted = Transcribe(language="de", transcript_names=["Anna"], transcript_terms=odd)
    assert glossary_of(wanted) == {"Anna": "Anna", "a dog": ""}
    assert glossary_of(Transcribe(language="de")) == {}
    hearing = Hearing(tiny_pipeline, Transcribe(language="de", transcript_terms=["a dog"]), None, None)
    assert hearing.language == "de"
