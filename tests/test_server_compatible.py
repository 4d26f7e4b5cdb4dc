"""The compatible endpoints on a real port: their clients get the text that the native protocol tells."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import PATIENCE_S, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, resample, to_pcm16
from streamst.client import stream
from streamst.events import Caption, Words
from streamst.pipeline import Pipeline

CLIP = Path(__file__).parent / "data" / "station.flac"
TRANSLATION = "/v1/realtime/translations?model=any"
TRANSCRIPTION = "/v1/realtime?intent=transcription"


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline) as address:
        yield address


@pytest.fixture(scope="module")
def clip() -> Pcm:
    return from_pcm16(to_pcm16(read_audio(CLIP)))


def at(address: str, path: str, *subprotocols: str, **options: Any) -> connect:
    names = [Subprotocol(name) for name in subprotocols] or None
    return connect(address.replace("http", "ws", 1) + path, subprotocols=names, proxy=None, **options)


async def hear_out(socket: ClientConnection, last: Callable[[Any], bool] = lambda _: False) -> list[dict[str, Any]]:
    """All messages until the close, or the last."""
    said: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_S):
            while not said or not last(said[-1]):
                said.append(json.loads(await socket.recv()))
    return said


def native(address: str, pcm: Pcm) -> tuple[str, str]:
    """Source and target text of the native protocol."""

    async def listen() -> tuple[str, str]:
        source: dict[int, str] = {}
        target: list[str] = []
        async for event in stream(address, [pcm[n : n + 1600] for n in range(0, len(pcm), 1600)]):
            if isinstance(event, Caption) and event.lang == "en":
                source[event.segment] = event.stable
            elif isinstance(event, Words):
                target += event.words
        return " ".join(filter(None, source.values())), " ".join(target)

    return asyncio.run(listen())


def pieces(payload: bytes, size: int) -> list[bytes]:
    return [payload[n : n + size] for n in range(0, len(payload), size)]


def at_24_khz(pcm: Pcm) -> tuple[bytes, Pcm]:
    """The clip as OpenAI's clients send it, and what the model then hears, nearly."""
    wide = to_pcm16(resample(pcm, 16_000, 24_000))
    return wide, resample(from_pcm16(wide), 24_000, 16_000)


def post(url: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(fields).encode(), {"authorization": "Bearer any"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=PATIENCE_S) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_translation_says_the_native_text_to_a_page_with_a_client_secret(server: str, clip: Pcm) -> None:
    payload, heard = at_24_khz(clip)
    asked = {"model": "any", "audio": {"input": {"transcription": {"model": "x"}}, "output": {"language": "de"}}}
    status, secret = post(f"{server}/v1/realtime/translations/client_secrets", {"session": asked})
    assert (status, secret["value"][:3], secret["session"]["type"]) == (200, "ek_", "translation")

    async def talk() -> tuple[list[dict[str, Any]], str | None, int | None]:
        key = f"openai-insecure-api-key.{secret['value']}"
        async with at(server, "/v1/realtime/translations", "realtime", key) as socket:
            for piece in pieces(payload, 9600):
                audio = base64.b64encode(piece).decode()
                await socket.send(json.dumps({"type": "session.input_audio_buffer.append", "audio": audio}))
            await socket.send('{"type": "session.close"}')
            return await hear_out(socket), socket.subprotocol, socket.close_code

    said, subprotocol, code = asyncio.run(talk())
    source, target = native(server, heard)
    assert target
    assert "".join(m["delta"] for m in said if m["type"] == "session.input_transcript.delta") == source
    assert "".join(m["delta"] for m in said if m["type"] == "session.output_transcript.delta") == target
    assert any(m["type"] == "session.output_audio.delta" for m in said)
    assert (said[0]["type"], said[-1]["type"]) == ("session.created", "session.closed")
    assert (subprotocol, code) == ("realtime", 1000)


def test_transcription_says_the_native_text(server: str, clip: Pcm) -> None:
    payload, heard = at_24_khz(clip)

    async def talk() -> list[dict[str, Any]]:
        async with at(server, TRANSCRIPTION, "realtime") as socket:
            session = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
            await socket.send(json.dumps({"type": "session.update", "session": session}))
            for piece in pieces(payload, 9600):
                audio = base64.b64encode(piece).decode()
                await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await socket.send('{"type": "input_audio_buffer.commit"}')
            return await hear_out(socket, lambda message: message["type"].endswith("completed"))

    said = asyncio.run(talk())
    source, _ = native(server, heard)
    assert source
    assert said[-1]["transcript"] == source
    assert "".join(m["delta"] for m in said if m["type"].endswith("transcription.delta")) == source


def test_deepgram_says_the_native_text_and_its_translation(server: str, clip: Pcm) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int | None]:
        asked = "encoding=linear16&sample_rate=16000&interim_results=true&extra=translate:de"
        async with at(server, f"/v1/listen?{asked}") as socket:
            for piece in pieces(to_pcm16(clip), 3001):
                await socket.send(piece)
            await socket.send('{"type": "KeepAlive"}')
            await socket.send('{"type": "CloseStream"}')
            return await hear_out(socket), socket.close_code

    said, code = asyncio.run(talk())
    source, target = native(server, clip)
    finals = [message for message in said if message.get("is_final")]
    assert " ".join(final["channel"]["alternatives"][0]["transcript"] for final in finals) == source
    assert " ".join(filter(None, (final["translation"]["transcript"] for final in finals))) == target
    for final in finals:
        best = final["channel"]["alternatives"][0]
        assert [word["punctuated_word"] for word in best["words"]] == best["transcript"].split()
        assert all(0 <= word["start"] < word["end"] <= len(clip) / 16_000 for word in best["words"])
    assert said[-1]["type"] == "Metadata"
    assert said[-1]["duration"] == pytest.approx(len(clip) / 16_000)
    assert code == 1000


def test_finalize_says_at_once_what_the_native_protocol_says_at_the_end(server: str, clip: Pcm) -> None:
    async def talk() -> list[str]:
        texts = []
        async with at(server, "/v1/listen?encoding=linear16&sample_rate=16000") as socket:
            for _ in range(2):
                for piece in pieces(to_pcm16(clip), 3200):
                    await socket.send(piece)
                await socket.send('{"type": "Finalize"}')
                said = await hear_out(socket, lambda message: message.get("from_finalize"))
                parts = [message["channel"]["alternatives"][0]["transcript"] for message in said]
                texts.append(" ".join(filter(None, parts)))
            await socket.send('{"type": "CloseStream"}')
            (metadata,) = await hear_out(socket)
            assert metadata["type"] == "Metadata"
        return texts

    source, _ = native(server, clip)
    assert source
    assert asyncio.run(talk()) == [source, source]


def test_simulstream_says_the_native_text_twice_over_one_connection(server: str, clip: Pcm) -> None:
    async def talk() -> list[str]:
        texts = []
        async with at(server, "/simulstream") as socket:
            for _ in range(2):
                await socket.send('{"sample_rate": 16000, "target_lang": "de", "metrics_metadata": {"wav_name": "x"}}')
                for piece in pieces(to_pcm16(clip), 3200):
                    await socket.send(piece)
                await socket.send('{"end_of_stream": true}')
                *changes, end = await hear_out(socket, lambda message: "end_of_processing" in message)
                assert end == {"end_of_processing": True}
                text = ""
                for change in changes:
                    text = text[: len(text) - len(change["deleted"])] + change["new"]
                texts.append(text)
        return texts

    _, target = native(server, clip)
    assert target
    assert asyncio.run(talk()) == [target, target]


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/v1/realtime/translations", 400, "model is missing"),
        ("/v1/realtime", 400, "allowed here: transcription"),
        ("/v1/realtime?intent=conversation", 400, "allowed here: transcription"),
        ("/v1/listen?encoding=linear16", 400, "sample_rate is needed"),
        ("/v1/listen?extra=translate:tlh", 400, "allowed: de"),
    ],
)
def test_what_is_not_possible_is_refused_before_the_handshake(server: str, path: str, status: int, named: str) -> None:
    async def talk() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as caught:
            async with at(server, path):
                pass
        return caught.value

    response = asyncio.run(talk()).response
    assert response.status_code == status
    body = json.loads(response.body or b"")
    message = body["error"]["message"] if "error" in body else body["err_msg"]
    assert named in message


@pytest.mark.parametrize("path", [TRANSLATION, TRANSCRIPTION, "/v1/listen", "/simulstream"])
def test_a_page_from_elsewhere_is_refused(server: str, path: str) -> None:
    async def talk() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as caught:
            async with at(server, path, additional_headers={"origin": "https://evil.example"}):
                pass
        return caught.value

    assert asyncio.run(talk()).response.status_code == 403


def test_a_client_secret_that_is_unknown_opens_nothing(server: str) -> None:
    async def talk() -> InvalidStatus:
        with pytest.raises(InvalidStatus) as caught:
            async with at(server, TRANSLATION, additional_headers={"authorization": "Bearer ek_guessed"}):
                pass
        return caught.value

    response = asyncio.run(talk()).response
    assert response.status_code == 401
    assert json.loads(response.body or b"")["error"]["code"] == "invalid_api_key"


def test_a_client_secret_tells_a_name_as_it_came_though_it_is_half_a_character(server: str) -> None:
    asked = {"model": "\ud800", "audio": {"input": {"transcription": {"model": "\udc00"}}}}
    status, body = post(f"{server}/v1/realtime/translations/client_secrets", {"session": asked})
    assert (status, body["session"]["model"]) == (200, "\ud800")
    assert body["session"]["audio"]["input"]["transcription"] == {"model": "\udc00"}


@pytest.mark.parametrize(
    "fields",
    [{}, {"session": {"model": "m", "audio": {"output": {"language": "tlh"}}}}, {"session": 7},
     {"session": {"model": "m"}, "expires_after": {"seconds": 1}}],
)  # fmt: skip
def test_an_impossible_client_secret_is_refused_by_name(server: str, fields: dict[str, Any]) -> None:
    status, body = post(f"{server}/v1/realtime/translations/client_secrets", fields)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert body["error"]["param"]


@pytest.mark.parametrize(
    ("path", "message", "code", "told"),
    [
        (TRANSLATION, b"\0\0", 1003, "invalid_message_type"),
        (TRANSCRIPTION, "hello", 1007, "invalid_json"),
        ("/v1/listen", b"this is no audio", 1008, "DATA-0000"),
        ("/simulstream", '{"target_lang": "tlh"}', 1008, "bad_parameter"),
        ("/simulstream", "hello", 1007, ""),
    ],
)
def test_what_breaks_a_protocol_is_closed_in_its_own_words(
    server: str, path: str, message: str | bytes, code: int, told: str
) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int | None, str]:
        async with at(server, path) as socket:
            await socket.send(message)
            said = await hear_out(socket)
            return said, socket.close_code, socket.close_reason or ""

    said, close, reason = asyncio.run(talk())
    assert close == code
    assert told in reason
    if path != "/simulstream":
        assert said[-1]["type"].lower() == "error"
        assert told in json.dumps(said[-1])


def test_deepgrams_client_that_sends_nothing_is_closed_as_net_0001(tiny_pipeline: Pipeline) -> None:
    async def talk(address: str) -> tuple[int | None, str]:
        async with at(address, "/v1/listen?encoding=linear16&sample_rate=16000") as socket:
            await hear_out(socket)
            return socket.close_code, socket.close_reason or ""

    with running(tiny_pipeline, idle_s=0.3) as address:
        code, reason = asyncio.run(talk(address))
    assert code == 1011
    assert reason.startswith("NET-0001")


def test_where_there_are_keys_each_endpoint_asks_for_one(tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')

    async def status(address: str, path: str, key: str) -> int:
        try:
            async with at(address, path, additional_headers={"authorization": key}):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    paths = (TRANSLATION, TRANSCRIPTION, "/v1/listen?encoding=linear16&sample_rate=16000", "/simulstream")
    with running(tiny_pipeline, api_keys=str(keys), max_sessions=9) as address:
        wrong = [asyncio.run(status(address, path, "Bearer of-somebody-else-1234")) for path in paths]
        right = [asyncio.run(status(address, path, "Token a-key-of-our-own-1234")) for path in paths]
        refused, _ = post(f"{address}/v1/realtime/translations/client_secrets", {"session": {"model": "m"}})
    assert (wrong, right, refused) == ([401] * 4, [101] * 4, 401)
