"""The service on a real port: what clients get, and what becomes of those who break the rules."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import (
    END,
    PATIENCE_S,
    audio,
    captions_of,
    get,
    hear_out,
    heard_of,
    opened,
    pieces,
    running,
    talk,
    told,
    wait_until_empty,
    words_of,
    ws,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.errors import UnavailableError
from streamst.events import Event, Finished, Words
from streamst.pipeline import Pipeline
from streamst.server.room.live import LiveStream
from streamst.server.wire.native import SUBPROTOCOL, pack_audio
from streamst.server.wire.seam import Answer, Closed, Configured, Latency, Settings, Welcome
from streamst.session import Steps

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


@pytest.fixture(scope="module")
def codec(pipeline: Pipeline) -> NeuralSpeechCodec:
    assert pipeline.codec is not None
    return pipeline.codec


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 4]))


@pytest.fixture(scope="module")
def server(pipeline: Pipeline) -> Iterator[str]:
    with running(pipeline, max_sessions=4) as address:
        yield address


async def translated(address: str, pcm: Pcm, settings: Settings | None = None, **options: Any) -> list[Any]:
    """All events of a stream."""
    return [event async for event in stream(address, pieces(pcm), settings, **options)]


def alone(pipeline: Pipeline, pcm: Pcm, latency: str = "medium") -> list[Event]:
    """What a session on this computer says, without any server."""
    session = pipeline.session(latency=latency)
    return [*[event for piece in pieces(pcm) for event in session.push(piece)], *session.finish()]


# --- a stream that goes well


def test_a_client_gets_what_a_session_on_this_computer_says(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    events = asyncio.run(translated(server, speech))
    local = alone(pipeline, speech)
    assert words_of(events)
    assert words_of(events) == words_of(local)
    assert captions_of(events) == captions_of(local)
    np.testing.assert_allclose(heard_of(events), np.clip(heard_of(local), -1, 1), atol=1 / 32_000)
    assert isinstance(events[0], Welcome)
    assert isinstance(events[1], Configured)
    assert events[1].settings.target == "de"
    assert isinstance(events[-2], Closed)
    assert isinstance(events[-1], Finished)
    assert events[-1].samples == len(speech)


def test_everything_is_said_before_closed_and_the_code_is_1000(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech))]
    said, code = asyncio.run(talk(server, '{"type":"config","latency":"high"}', *payloads, END))
    assert code == 1000
    assert said[-1]["type"] == "closed"
    expected = [word for _, _, words in words_of(alone(pipeline, speech, "high")) for word in words]
    assert [word for message in told(said, "words") for word in message["words"]] == expected
    summary = said[-1]["summary"]
    assert summary["words"] == len(expected)
    assert summary["audio_ms"] == pytest.approx(len(speech) / 16)
    assert summary["dropped_ms"] == 0
    acknowledged = told(said, "ack")
    assert [ack["sequence"] for ack in acknowledged] == list(range(len(payloads)))
    assert acknowledged[-1]["samples"] == len(speech)


def test_the_live_meter_ends_at_what_the_words_say(server: str, speech: Pcm) -> None:
    from streamst.evaluate.metrics.latency import FORMULAS, Utterance

    events = asyncio.run(translated(server, speech))
    delays = tuple(event.source_ms for event in events if isinstance(event, Words) for _ in event.words)
    last = [event for event in events if isinstance(event, Latency)][-1]
    scored = Utterance(delays, len(speech) / 16)
    expected = FORMULAS["LAAL"].compute(scored)
    assert expected is not None
    assert last.stream_laal_ms == pytest.approx(expected, abs=0.1)
    assert last.start_offset_ms == pytest.approx(delays[0], abs=0.1)
    assert last.words == len(delays)
    assert last.laal_ms is not None
    assert last.split["compute"] is not None
    assert last.split["buffer"] is not None


def test_settings_in_the_midst_finish_what_was_begun(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech) * 2)]
    half = len(payloads) // 2
    other = '{"type":"config","latency":"high","output":["captions"]}'
    said, code = asyncio.run(talk(server, *payloads[:half], other, *payloads[half:], END))
    assert code == 1000
    first, second = alone(pipeline, speech), alone(pipeline, speech, "high")
    words = [tuple(message["words"]) for message in told(said, "words")]
    assert words == [words for _, _, words in words_of(first) + words_of(second)]
    at_ms = [message["source_ms"] for message in told(said, "words")]
    assert at_ms == sorted(at_ms)
    segments = [message["segment"] for message in told(said, "words")]
    assert segments == sorted(segments)
    assert len(set(segments)) == len({s for _, s, _ in words_of(first)}) + len({s for _, s, _ in words_of(second)})
    assert said[-1]["summary"]["samples"] == 2 * len(speech)


def test_another_latency_takes_over_in_mid_sentence(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech) * 2)]
    half = len(payloads) // 2
    dial = '{"type":"config","latency":"high"}'
    said, code = asyncio.run(talk(server, '{"type":"config"}', *payloads[:half], dial, *payloads[half:], END))
    assert code == 1000
    session = pipeline.session(latency="medium")
    events = [event for piece in pieces(speech) for event in session.push(piece)]
    high = pipeline.session(latency="high")
    session.reconfigure(high.policy, high.chunk_ms)
    events += [event for piece in pieces(speech) for event in session.push(piece)]
    words = [tuple(message["words"]) for message in told(said, "words")]
    assert words == [words for _, _, words in words_of([*events, *session.finish()])]
    assert [message["latency"] for message in told(said, "configured")] == ["medium", "high"]


def test_captions_only_means_no_speech_and_speech_only_no_captions(server: str, speech: Pcm) -> None:
    text = asyncio.run(translated(server, speech, Settings(output=("captions",))))
    assert words_of(text)
    assert not len(heard_of(text))
    sound = asyncio.run(translated(server, speech, Settings(output=("audio",))))
    assert not words_of(sound)
    assert not captions_of(sound)
    assert len(heard_of(sound))


def test_other_sample_rates_are_resampled(server: str, speech: Pcm) -> None:
    import soxr

    higher = soxr.resample(speech, 16_000, 48_000).astype(np.float32)
    events = asyncio.run(translated(server, higher, Settings(sample_rate_hz=48_000)))
    assert words_of(events)
    assert events[-1].samples == pytest.approx(len(speech), abs=16)


def test_the_neural_codec_carries_both_ways(
    server: str, pipeline: Pipeline, codec: NeuralSpeechCodec, speech: Pcm
) -> None:
    settings = Settings(codec="neural", output_codec="neural")
    events = asyncio.run(translated(server, speech, settings, codec=codec))
    encoder, decoder = codec.encoder(), codec.decoder()
    uplinked = np.concatenate([*[decoder.push(encoder.push(p)) for p in pieces(speech)], decoder.push(encoder.flush())])
    local = alone(pipeline, uplinked)
    assert words_of(events) == words_of(local)
    assert len(heard_of(events)) == pytest.approx(len(heard_of(local)), abs=640)
    said = sum(event.summary.bytes_in for event in events if isinstance(event, Closed))
    assert said < 2 * len(speech) / 8


def test_an_end_without_audio_closes_at_once(server: str) -> None:
    said, code = asyncio.run(talk(server, END))
    assert code == 1000
    assert said[-1]["summary"]["words"] == 0


def test_a_ping_is_answered_while_the_model_works(server: str) -> None:
    said, _ = asyncio.run(talk(server, audio(), '{"type":"ping","id":"x","rtt_ms":20,"playback_ms":7}', END))
    assert [pong["id"] for pong in told(said, "pong")] == ["x"]
    split = told(said, "latency")[-1]["split"]
    assert (split["network"], split["playback"]) == (10.0, 7.0)


def test_two_speakers_at_once_get_what_each_gets_alone(server: str, pipeline: Pipeline, speech: Pcm) -> None:
    other = np.ascontiguousarray(speech[::-1])

    async def both() -> tuple[list[Any], list[Any]]:
        return await asyncio.gather(translated(server, speech), translated(server, other))

    first, second = asyncio.run(both())
    assert words_of(first) == words_of(alone(pipeline, speech))
    assert words_of(second) == words_of(alone(pipeline, other))


# --- places


def test_a_client_that_vanishes_frees_its_place(pipeline: Pipeline, speech: Pcm) -> None:
    async def vanish(address: str) -> None:
        async with opened(address) as socket:
            await socket.send(pack_audio("pcm16", 0, 0, to_pcm16(speech)))
            await socket.recv()
            socket.transport.abort()

    with running(pipeline, max_sessions=1) as address:
        asyncio.run(vanish(address))
        wait_until_empty(address)
        assert words_of(asyncio.run(translated(address, speech))) == words_of(alone(pipeline, speech))


def test_a_full_server_says_so_on_the_socket_and_on_post(pipeline: Pipeline, speech: Pcm) -> None:
    async def second(address: str) -> tuple[list[dict[str, Any]], int | None, tuple[int, dict[str, str], bytes]]:
        async with opened(address) as first:
            await first.recv()
            said, code = await talk(address)
            posted = await asyncio.to_thread(get, f"{address}/v1/sessions", b"{}")
            with pytest.raises(UnavailableError, match="all 1 places are taken"):
                await translated(address, speech)
            return said, code, posted

    with running(pipeline, max_sessions=1) as address:
        said, code, (status, headers, body) = asyncio.run(second(address))
        assert code == 1013
        (error,) = said
        assert (error["code"], error["retryable"]) == (1013, True)
        assert error["retry_after_ms"] > 0
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert json.loads(body)["code"] == 1013
        wait_until_empty(address)
        assert get(f"{address}/v1/sessions", b"{}")[0] == 201


def test_a_reserved_place_waits_for_its_token_with_its_settings(pipeline: Pipeline) -> None:
    async def claim(address: str, token: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address, subprotocols=(SUBPROTOCOL, f"token.{token}")) as socket:
            assert socket.subprotocol == SUBPROTOCOL
            with contextlib.suppress(ConnectionClosed):
                await socket.send(END)
            return await hear_out(socket)

    with running(pipeline, max_sessions=1) as address:
        status, _, body = get(f"{address}/v1/sessions", b'{"latency":"low","output":["captions"]}')
        assert status == 201
        kept = json.loads(body)
        assert asyncio.run(talk(address))[1] == 1013
        said, code = asyncio.run(claim(address, kept["token"]))
        assert code == 1000
        assert said[0]["session_id"] == kept["session_id"]
        assert (said[1]["latency"], said[1]["output"]) == ("low", ["captions"])
        assert asyncio.run(claim(address, kept["token"]))[1] == 4401


# --- limits


def test_audio_faster_than_allowed_is_refused(pipeline: Pipeline) -> None:
    with running(pipeline, burst_s=1.0, speed_limit=2.0) as address:
        said, code = asyncio.run(talk(address, *[audio(i) for i in range(100)]))
        assert code == 4413
        assert "faster than allowed" in told(said, "error")[0]["message"]
        assert isinstance(asyncio.run(translated(address, np.zeros(48_000, np.float32)))[-1], Finished)


def test_without_a_speed_limit_a_file_comes_as_fast_as_the_model_hears(pipeline: Pipeline) -> None:
    with running(pipeline, speed_limit=0.0, queue_bytes=16_000) as address:
        events = asyncio.run(translated(address, np.zeros(16_000 * 8, np.float32)))
        assert events[-1].samples == 16_000 * 8


def test_an_idle_client_is_flushed_and_closed(pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech))]
    with running(pipeline, idle_s=1.0) as address:
        said, code = asyncio.run(talk(address, *payloads))
    assert code == 4408
    assert [message["type"] for message in said[-2:]] == ["closed", "error"]
    expected = [word for _, _, words in words_of(alone(pipeline, speech)) for word in words]
    assert [word for message in told(said, "words") for word in message["words"]] == expected


def test_who_waits_to_be_heard_is_not_idle(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    step = LiveStream.step
    asked = threading.Event()

    def slow(live: LiveStream) -> Steps[list[Answer]]:
        asked.wait(PATIENCE_S)
        return (yield from step(live))

    async def wait(address: str) -> int | None:
        async with opened(address) as socket:
            await socket.send(audio())
            await asyncio.sleep(1.5)  # longer than may be idle
            with contextlib.suppress(ConnectionClosed):
                await socket.send(END)
            asked.set()
            return (await hear_out(socket))[1]

    monkeypatch.setattr(LiveStream, "step", slow)
    with running(pipeline, idle_s=1.0) as address:
        assert asyncio.run(wait(address)) == 1000


def test_a_session_ends_at_its_longest_duration(pipeline: Pipeline) -> None:
    with running(pipeline, max_duration_s=2.0) as address:
        said, code = asyncio.run(talk(address, *[audio(i, 16_000) for i in range(3)]))
    assert code == 1001
    assert "a session may last 2 s" in told(said, "error")[0]["message"]
    assert told(said, "closed")


def test_a_client_that_never_reads_is_dropped_and_others_go_on(pipeline: Pipeline, speech: Pcm) -> None:
    def deaf(address: str) -> socket.socket:
        host, port = address.removeprefix("http://").split(":")
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        return client

    ping = b'{"type":"ping","id":"' + b"x" * 60 + b'"}'
    frame = bytes([0x81, 0x80 | len(ping), 0, 0, 0, 0]) + ping  # a text frame with the mask 0
    with running(pipeline, send_timeout_s=1.0) as address:
        client = deaf(address)
        client.settimeout(PATIENCE_S)
        with client, contextlib.suppress(OSError):
            while True:  # until the server, whose answers find no room, stops reading and then gives up
                client.sendall(frame * 100)
        wait_until_empty(address)
        assert words_of(asyncio.run(translated(address, speech))) == words_of(alone(pipeline, speech))


def test_a_failure_in_one_session_is_its_own(pipeline: Pipeline, speech: Pcm, caplog: pytest.LogCaptureFixture) -> None:
    class Explosive(Pipeline):
        """The pipeline, but a full-scale click breaks a session from within."""

        def session(self, *arguments: Any, **options: Any) -> Any:
            session = super().session(*arguments, **options)
            hear = session.hearing

            def hearing(pcm: Pcm) -> Steps[list[Event]]:
                if len(pcm) and pcm.max() > 0.999:
                    raise RuntimeError("broken from within")
                return hear(pcm)

            session.hearing = hearing
            return session

    explosive = Explosive(**{field.name: getattr(pipeline, field.name) for field in dataclasses.fields(pipeline)})
    click = pack_audio("pcm16", 0, 0, to_pcm16(np.ones(1600, np.float32)))

    async def both(address: str) -> tuple[tuple[list[dict[str, Any]], int | None], list[Any]]:
        return await asyncio.gather(talk(address, click), translated(address, 0.5 * speech))

    with running(explosive) as address:
        (said, code), events = asyncio.run(both(address))
    assert code == 1011
    assert told(said, "error")[0]["message"] == "the server failed; the session cannot go on"
    assert words_of(events) == words_of(alone(pipeline, from_pcm16(to_pcm16(0.5 * speech))))
    assert "broken from within" in caplog.text


# --- who may connect


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:1"])
def test_a_page_from_elsewhere_is_refused_at_the_handshake(
    server: str, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def knock() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as caught:
            async with opened(server, origin=origin):
                pass
        return caught.value

    response = asyncio.run(knock()).response
    assert response.status_code == 403
    assert response.body is not None
    assert json.loads(response.body)["code"] == 1008
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == []


def test_our_own_page_and_an_allowed_one_connect(pipeline: Pipeline) -> None:
    async def welcome(address: str, origin: str) -> str:
        async with opened(address, origin=origin) as socket:
            return json.loads(await socket.recv())["type"]

    with running(pipeline, allowed_origins=("https://talks.example.org",)) as address:
        for origin in (address, "https://talks.example.org"):
            assert asyncio.run(welcome(address, origin)) == "welcome"


def test_another_subprotocol_is_refused_and_none_is_taken_as_ours(server: str) -> None:
    async def knock() -> None:
        async with connect(ws(server), proxy=None) as socket:
            assert socket.subprotocol is None
            assert json.loads(await socket.recv())["type"] == "welcome"
        with pytest.raises(InvalidStatus, match="400"):
            async with opened(server, subprotocols=("graphql-ws",)):
                pass

    asyncio.run(knock())


# --- the page


@pytest.mark.parametrize("path", ["/../README.md", "/%2e%2e/README.md", "/..%2fREADME.md", "//etc/passwd"])
def test_nothing_outside_the_page_is_served(server: str, path: str) -> None:
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 404")
