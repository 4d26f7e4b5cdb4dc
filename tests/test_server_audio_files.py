"""OpenAI's speech to text for files: by the official client, and by hand where that would not go wrong."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from openai import DefaultHttpxClient, OpenAI
from recordings import silent_film
from serving import get, health, running, wait_until_empty

from streamst.audio import read_audio
from streamst.client import stream
from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.pipeline import Pipeline
from streamst.server.foreign import openai_audio
from streamst.server.wire.multipart import boundary_of, read_form

CLIP = Path(__file__).parent / "data" / "station.flac"
pytestmark = pytest.mark.filterwarnings(  # the client calls its own method for translations deprecated
    "ignore::ResourceWarning", "ignore:deprecated:DeprecationWarning"
)


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=4) as address:
        yield address


@pytest.fixture(scope="module")
def native(server: str) -> list[Caption]:
    async def go() -> list[Caption]:
        pcm = read_audio(CLIP)
        return [event async for event in stream(server, [pcm]) if isinstance(event, Caption) and event.final]

    return asyncio.run(go())


@pytest.fixture
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(api_key="any", base_url=f"{server}/v1", max_retries=0, http_client=_direct()) as client:
        yield client


def _direct() -> Any:
    """A client that asks no proxy for loopback."""
    return DefaultHttpxClient(trust_env=False)


def text_of(native: list[Caption], lang: str) -> str:
    return " ".join(caption.stable for caption in native if caption.lang == lang and caption.stable)


def test_json_and_text_are_what_the_native_client_gets(client: OpenAI, native: list[Caption]) -> None:
    assert client.audio.translations.create(file=CLIP, model="any").text == text_of(native, "de")
    assert client.audio.transcriptions.create(file=CLIP, model="any").text == text_of(native, "en")
    plain = client.audio.translations.create(file=CLIP, model="any", response_format="text")
    assert plain == text_of(native, "de") + "\n"


def test_subtitles_have_times(client: OpenAI, native: list[Caption]) -> None:
    as_srt = str(client.audio.translations.create(file=CLIP, model="any", response_format="srt"))
    assert as_srt.startswith("1\n00:00:0")
    as_vtt = str(client.audio.transcriptions.create(file=CLIP, model="any", response_format="vtt"))
    assert as_vtt.startswith("WEBVTT\n\n00:00:0")
    assert " ".join(as_vtt.split("\n", 3)[3].split("\n\n")[0].split()) in text_of(native, "en")


def test_verbose_json_has_segments_and_words_with_their_times(client: OpenAI, native: list[Caption]) -> None:
    told = client.audio.transcriptions.create(
        file=CLIP, model="any", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert told.text == text_of(native, "en")
    assert told.language == "english"
    assert told.duration == pytest.approx(len(read_audio(CLIP)) / 16_000, abs=0.01)
    assert told.segments is not None
    assert " ".join(segment.text for segment in told.segments) == told.text
    assert told.words is not None
    assert " ".join(word.word for word in told.words) == told.text
    assert [word.start for word in told.words] == sorted(word.start for word in told.words)
    german: Any = client.audio.translations.create(file=CLIP, model="any", response_format="verbose_json")
    assert german.language == "german"


def test_a_stream_tells_pieces_whose_sum_is_the_text(client: OpenAI, native: list[Caption]) -> None:
    events = list(client.audio.transcriptions.create(file=CLIP, model="any", stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == text_of(native, "en")
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == text_of(native, "en")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"response_format": "pdf"}, "'pdf'; allowed: json, text, srt, vtt, verbose_json"),
        ({"language": "fr"}, "'fr' is not supported here; allowed: en"),
        ({"file": ("empty.wav", b"")}, "file is missing, or empty"),
        ({"file": ("a.wav", b"no recording at all, but a text")}, "as no recording does"),
        ({"file": ("film.mp4", silent_film())}, "no sound"),
        ({"model": ""}, "model is missing"),
        ({"timestamp_granularities": ["word"]}, "verbose_json only"),
        ({"prompt": "Once upon a time there was a prompt without end"}, "only a list of terms"),
    ],
)
def test_what_is_not_possible_is_a_bad_request_in_words(client: OpenAI, options: dict[str, Any], told: str) -> None:
    with pytest.raises(openai.BadRequestError, match=told):
        client.audio.transcriptions.create(**{"file": CLIP, "model": "any", **options})


def test_a_truncated_recording_is_an_error_and_in_a_stream_comes_after_what_was_heard(client: OpenAI) -> None:
    half = ("half.flac", CLIP.read_bytes()[: CLIP.stat().st_size * 2 // 3])
    with pytest.raises(openai.BadRequestError, match=r"cannot be read|truncated|ends") as caught:
        client.audio.transcriptions.create(file=half, model="any")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "file")
    with pytest.raises(openai.APIError, match=r"cannot be read|truncated|ends"):
        list(client.audio.transcriptions.create(file=half, model="any", stream=True))


def test_keys_places_and_size_are_those_of_any_session(
    tiny_pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[[keys]]\nname = "talks"\nkey = "a-key-of-our-own-1234"\n')
    with running(tiny_pipeline, api_keys=str(keys), max_sessions=1) as address:

        def ask(key: str) -> str:
            with OpenAI(api_key=key, base_url=f"{address}/v1", max_retries=0, http_client=_direct()) as client:
                return client.audio.translations.create(file=CLIP, model="any").text

        with pytest.raises(openai.AuthenticationError):
            ask("of-somebody-else-1234")
        assert ask("a-key-of-our-own-1234")
        wait_until_empty(address)
        get(f"{address}/v1/sessions", b"{}", authorization="Bearer a-key-of-our-own-1234")
        with pytest.raises(openai.InternalServerError) as full:
            ask("a-key-of-our-own-1234")
        assert full.value.status_code == 503
    monkeypatch.setattr(openai_audio, "FORM_BYTES", 1000)
    with running(tiny_pipeline) as address, OpenAI(
        api_key="any", base_url=f"{address}/v1", max_retries=0, http_client=_direct()
    ) as client, pytest.raises(openai.APIStatusError) as big:  # fmt: skip
        client.audio.translations.create(file=CLIP, model="any")
    assert big.value.status_code == 413


def test_a_recording_longer_than_a_session_may_be_is_refused(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, max_duration_s=1.0) as address, OpenAI(
        api_key="any", base_url=f"{address}/v1", max_retries=0, http_client=_direct()
    ) as client, pytest.raises(openai.APIStatusError, match="may last 1 s; cut it"):  # fmt: skip
        client.audio.translations.create(file=("long.wav", _wav(3.0)), model="any")


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(int(16_000 * seconds), np.float32), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_who_hangs_up_in_the_midst_leaves_no_place_taken(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, speed_limit=1.0, burst_s=1.0) as address:
        host, port = address.removeprefix("http://").split(":")
        form = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + _wav(60.0)
            + b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nany\r\n--b--\r\n'
        )  # fmt: skip
        head = f"POST /v1/audio/translations HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(form)}\r\n"
        with socket.create_connection((host, int(port))) as there:
            there.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + form)
            deadline = time.monotonic() + 60
            while not health(address)["sessions"]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        wait_until_empty(address)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not whole"),
        (b"--b\r\n\r\n--b", "not whole"),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf', "not whole"),
        (b"--b\r\nnothing\r\n--b--", "no headers"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", "no name"),
        (b"--b\r\n\r\n" * 99 + b"--b--", "64 parts"),
    ],
)
def test_a_form_that_is_not_whole_is_told(body: bytes, told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        read_form(body, b"b")


def test_a_form_holds_fields_and_files_whatever_is_in_them() -> None:
    content = bytes(range(256)) + b"\r\n--not\r\n\r\n"
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + content
    body += b'\r\n--b\r\nContent-Disposition: form-data; name="n"\r\n\r\none\r\n--b--\r\n'
    form = read_form(body, boundary_of('multipart/form-data; boundary="b"'))
    assert form.files == {"file": content}
    assert form.text("n") == "one"
    for wrong in ("", "application/json", "multipart/form-data", "multipart/form-data; boundary="):
        with pytest.raises(ProtocolError, match="use multipart/form-data"):
            boundary_of(wrong)


def test_a_body_of_another_kind_is_refused_in_openais_words(server: str) -> None:
    status, _, body = get(f"{server}/v1/audio/translations", b"{}", content_type="application/json")
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
