"""Recordings as they are made, in containers that nobody has named: cut anywhere, truncated, mutated, out of bounds."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from recordings import KINDS, RATE, SAMPLES, WHOLE, Kind, speechlike, written
from serving import PATIENCE_S, health, hear_out, opened, running, wait_until_empty
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamst.audio import Pcm
from streamst.audio.pieces import SILENT_BYTES, Unpacker
from streamst.errors import InputError, ProtocolError
from streamst.pipeline import Pipeline
from streamst.server.wire.containers import Unpacking
from streamst.server.wire.native import pack_audio


def by_soundfile(samples: np.ndarray, container: str, coding: str, rate_hz: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=coding)
    return file.getvalue()


def doubled(channels: int) -> np.ndarray:
    return np.stack([speechlike()] * channels, axis=1)


FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
CASES: dict[str, tuple[bytes, int]] = {
    f"{name}{' to a pipe' if piped else ''}": (written(KINDS[name], piped), KINDS[name].slack)
    for name, piped in WHOLE
    if name not in ("m4a", "mov")
} | {
    "8-bit.wav": (by_soundfile(speechlike(), "WAV", "PCM_U8"), 0),
    "32-bit.wav": (by_soundfile(speechlike(), "WAV", "PCM_32"), 0),
    "double.wav": (by_soundfile(speechlike(), "WAV", "DOUBLE"), 0),
    "alaw.wav": (by_soundfile(speechlike(), "WAV", "ALAW"), 0),
    "gsm.wav": (by_soundfile(speechlike(), "WAV", "GSM610"), 700),
    "stereo.wav": (by_soundfile(doubled(2), "WAV", "PCM_16"), 0),
    "six channels, extensible.wav": (by_soundfile(doubled(6), "WAVEX", "PCM_24"), 0),
    "96 kHz.wav": (by_soundfile(speechlike(SAMPLES * 6, 96_000), "WAV", "PCM_16", 96_000), 50),
    "stereo.flac": (by_soundfile(doubled(2), "FLAC", "PCM_24"), 0),
    "vorbis.ogg": (by_soundfile(speechlike(), "OGG", "VORBIS"), 0),
    "libsndfile's opus.ogg": (by_soundfile(speechlike(), "OGG", "OPUS"), 700),
    "libsndfile's mp3": (by_soundfile(speechlike(), "MP3", "MPEG_LAYER_III"), 1_700),
    "many fragments.mp4": (written(Kind("mp4", "aac", options=(*FRAGMENTS, ("frag_duration", "100000")))), 2_048),
    "7.1 alac.mka": (written(Kind("matroska", "alac", layout="7.1(wide)")), 0),
    "eight channels, vorbis.ogg": (by_soundfile(doubled(8), "OGG", "VORBIS"), 0),
    "fragments.mov": (written(Kind("mov", "pcm_s16le", options=FRAGMENTS)), 0),
    "an ID3 tag in front.mp3": (b"ID3\x04\0\0\0\0\x0f\x50" + bytes(2_000) + written(KINDS["mp3"]), 1_700),
}


def unpacked(data: bytes, draw: np.random.Generator, longest: int = 3_000) -> tuple[Pcm, str]:
    """What is heard of a recording that is cut at random, and what was wrong with it."""
    unpacking, found, at = Unpacking(RATE), [], 0
    try:
        while at < len(data):
            size = int(draw.integers(1, longest))
            for piece in unpacking.split(data[at : at + size]):
                found.append(unpacking.hear(piece))
                while unpacking.waiting:
                    found.append(unpacking.hear(b""))
            at += size
        found.append(unpacking.end())
        while unpacking.waiting:
            found.append(unpacking.end())
        assert max(map(len, found)) <= 2 * RATE, "more was held than a second and a block"
        return np.concatenate(found), unpacking.trouble
    finally:
        unpacking.close()


def fault(data: bytes) -> str:
    """What was wrong with a recording of which nothing is heard."""
    try:
        pcm, trouble = unpacked(data, np.random.default_rng(0))
    except ProtocolError as error:
        return f"{error.code} {error}"
    assert not len(pcm)
    return f"1007 {trouble}"


def loudness(pcm: Pcm) -> np.ndarray:
    """A value for each tenth of a second."""
    whole = pcm[: len(pcm) // 1_600 * 1_600].reshape(-1, 1_600)
    return np.sqrt((whole**2).mean(1))


def no_threads() -> bool:
    """Whether all that unpack have ended; waits for them."""
    deadline = time.monotonic() + PATIENCE_S
    while any(thread.name == "unpacker" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(thread.name == "unpacker" for thread in threading.enumerate())


def test_there_are_forty_cases() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES)
def test_a_recording_of_any_kind_is_heard_whole_wherever_it_is_cut(case: str) -> None:
    data, slack = CASES[case]
    for seed in range(2):
        pcm, trouble = unpacked(data, np.random.default_rng(seed))
        assert not trouble
        assert abs(len(pcm) - SAMPLES) <= slack
        true = loudness(speechlike())[:37]
        shifted = [loudness(pcm[begin:])[:37] for begin in range(0, slack + 1, 300)]  # what was lossy may begin later
        assert max(np.corrcoef(heard, true)[0, 1] for heard in shifted) > 0.9
        assert shifted[0].mean() == pytest.approx(true.mean(), rel=0.15)
    assert no_threads()


@pytest.mark.parametrize("case", ["flac", "webm", "opus.ogg", "wav", "fragments.mp4"])
def test_single_bytes_give_what_the_whole_gives(case: str) -> None:
    data = CASES[case][0][:9_000]
    whole, _ = unpacked(data, np.random.default_rng(0), longest=100_000)
    single, _ = unpacked(data, np.random.default_rng(0), longest=2)
    assert len(whole) > 1_000
    assert np.array_equal(whole, single)


@pytest.mark.parametrize("name", [name for name in KINDS if name in ("m4a", "mov")])
def test_an_index_at_the_end_is_told_in_words(name: str) -> None:
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE).astype(np.float32)
    assert "an MP4 whose index stands at its end" in fault(written(KINDS[name], pcm=pcm))


@pytest.mark.parametrize("name", ["flac", "opus.ogg", "adpcm.wav", "aac", "fragments.mp4", "webm"])
def test_what_stands_before_a_cut_is_heard_and_the_cut_is_told_where_the_container_knows_of_it(name: str) -> None:
    data = written(KINDS[name])
    pcm, trouble = unpacked(data[: int(len(data) * 0.6)], np.random.default_rng(0))
    assert 0.3 * SAMPLES < len(pcm) < 0.8 * SAMPLES
    assert "truncated" in trouble or name == "adpcm.wav"


@pytest.mark.parametrize(
    "data",
    [b"this is no audio at all", b"\x89PNG\r\n\x1a\n" + bytes(99), b"<!DOCTYPE html><html>", bytes(5_000)],
)
def test_what_is_no_recording_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"it begins with b.*, as no recording does; use WAV, FLAC") as caught:
        unpacked(data, np.random.default_rng(0))
    assert caught.value.code == 1007


def test_a_recording_without_sound_is_refused_in_words() -> None:
    picture = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x18\x53\x80\x67\xff" + bytes(50_000)
    told = fault(picture)
    assert told.startswith("1007")
    assert "the recording is not audio that can be read" in told
    assert no_threads()


def test_a_coding_that_nobody_knows_is_refused_in_words() -> None:
    told = fault(CASES["webm"][0].replace(b"A_OPUS", b"A_NONE"))
    assert "the recording holds sound in a coding that cannot be read; use WAV" in told
    assert no_threads()


def test_a_header_and_nothing_but_padding_is_no_reason_to_go_on_for_ever() -> None:
    unpacker = Unpacker()
    unpacker.feed(written(KINDS["flac"])[:4] + b"\x01" + (1 << 23).to_bytes(3, "big"))  # padding that is promised
    with contextlib.suppress(InputError):
        for _ in range(SILENT_BYTES // 65_536 + 2):
            unpacker.feed(bytes(65_536))
    assert unpacker.over
    assert "the recording" in unpacker.trouble
    assert no_threads()


def test_an_hour_of_silence_in_a_few_bytes_comes_a_second_at_a_time() -> None:
    data = by_soundfile(np.zeros(3_600 * 8_000, np.int16), "FLAC", "PCM_16", 8_000)
    assert len(data) < 400_000
    unpacking, count, most = Unpacking(RATE), 0, 0
    for piece in unpacking.split(data):
        pcm = unpacking.hear(piece)
        while len(pcm) or unpacking.waiting:
            count, most = count + len(pcm), max(most, len(pcm))
            pcm = unpacking.hear(b"")
    count += len(unpacking.end())
    while unpacking.waiting:
        count += len(unpacking.end())
    unpacking.close()
    assert most <= 2 * RATE
    assert count == pytest.approx(3_600 * RATE, abs=4 * RATE)


@pytest.mark.parametrize(("rate_hz", "channels"), [(1_000, 1), (2_000_000, 1), (16_000, 200)])
def test_absurd_rates_and_channels_are_refused_in_words(rate_hz: int, channels: int) -> None:
    samples = np.zeros((400, channels), np.int16)
    told = fault(by_soundfile(samples, "WAV", "PCM_16", rate_hz))
    assert re.search(
        r"the recording has 200 channels; allowed: |a sample rate of \d+ Hz is not usable; allowed: ", told
    )
    assert no_threads()


def mutated(draw: np.random.Generator) -> bytes:
    """A recording with bytes changed, cut out, doubled or moved."""
    data = bytearray(CASES[str(draw.choice(list(CASES)))][0])
    for _ in range(int(draw.integers(1, 5))):
        at, size = int(draw.integers(len(data))), int(draw.integers(1, 400))
        if draw.random() < 0.5:
            at = int(draw.integers(min(600, len(data))))
        match int(draw.integers(4)):
            case 0:
                data[at : at + size] = draw.bytes(size)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case _:
                data[at] ^= 1 << int(draw.integers(8))
        data = data or bytearray(b"\0")
    return bytes(data)


@pytest.mark.parametrize("seed", range(10))
def test_mutated_recordings_are_heard_or_refused_and_nothing_else(seed: int) -> None:
    refused = 0
    for number in range(30):
        draw = np.random.default_rng((seed, number))
        try:
            pcm, _ = unpacked(mutated(draw), draw)
        except ProtocolError as error:
            refused += error.code == 1007
            continue
        assert np.isfinite(pcm).all()
        assert np.abs(pcm).max(initial=0) < 2
    assert refused < 30
    assert no_threads()


# --- through a server


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, speed_limit=0, max_sessions=16) as address:
        yield address


@pytest.fixture(scope="module")
def talk() -> NDArray[np.int16]:
    """Bursts of noise with pauses, of 16-bit samples: the tiny pipeline writes words to them."""
    draw = np.random.default_rng(1)
    bursts = [np.pad(draw.integers(-9_000, 9_000, RATE), (0, RATE)) for _ in range(3)]
    return np.concatenate(bursts).astype(np.int16)


def at(address: str, path: str) -> connect:
    return connect(address.replace("http", "ws", 1) + path, proxy=None)


async def results(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None, str]:
    said, code = await hear_out(socket)
    return said, code, socket.close_reason or ""


def listen(address: str, query: str, messages: list[bytes | str]) -> tuple[list[dict[str, Any]], int | None, str]:
    async def run() -> tuple[list[dict[str, Any]], int | None, str]:
        async with at(address, f"/v1/listen?{query}") as socket:
            with contextlib.suppress(ConnectionClosed):
                for message in messages:
                    await socket.send(message)
            return await results(socket)

    return asyncio.run(run())


def spoken(said: list[dict[str, Any]]) -> list[str]:
    texts = [one["channel"]["alternatives"][0]["transcript"] for one in said if one["type"] == "Results"]
    return [text for text in texts if text]


def pieces(data: bytes, size: int = 700) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


CLOSE = '{"type": "CloseStream"}'


@pytest.mark.parametrize(
    ("query", "container"), [("", "FLAC"), ("encoding=flac", "FLAC"), ("", "WAV"), ("interim_results=true", "WAV")]
)
def test_deepgrams_clients_get_of_a_container_what_raw_samples_give(
    server: str, talk: NDArray[np.int16], query: str, container: str
) -> None:
    interim = "interim_results=true" if "interim" in query else ""
    raw, _, _ = listen(server, f"encoding=linear16&sample_rate=16000&{interim}", [*pieces(talk.tobytes()), CLOSE])
    data = by_soundfile(talk, container, "PCM_16")
    said, code, _ = listen(server, query, [*pieces(data), CLOSE])
    assert code == 1000
    finals = [[one for one in answers if one.get("is_final")] for answers in (said, raw)]
    assert spoken(finals[0]) == spoken(finals[1])
    assert len(spoken(said)) > 1
    assert said[-1]["type"] == "Metadata"
    assert said[-1]["duration"] == pytest.approx(len(talk) / RATE, abs=0.3)


def test_the_native_protocol_takes_containers(server: str, talk: NDArray[np.int16]) -> None:
    def run(codec: str, parts: list[bytes]) -> tuple[list[tuple[int, str]], int | None]:
        async def go() -> tuple[list[tuple[int, str]], int | None]:
            async with opened(server) as socket:
                await socket.send(json.dumps({"type": "config", "codec": codec, "output": ["captions"]}))
                for number, part in enumerate(parts):
                    await socket.send(pack_audio(codec, number, 0, part))  # type: ignore[arg-type]
                await socket.send('{"type": "end"}')
                said, code = await hear_out(socket)
                finals = [one for one in said if one["type"] == "caption" and one["final"]]
                return [(one["segment"], one["stable"]) for one in finals], code

        return asyncio.run(go())

    plain, contained = (
        run("pcm16", pieces(talk.tobytes())),
        run("container", pieces(by_soundfile(talk, "FLAC", "PCM_16"))),
    )
    assert plain == contained
    assert len(plain[0]) > 1


def test_finalize_ends_an_utterance_and_the_container_goes_on(server: str, talk: NDArray[np.int16]) -> None:
    parts = pieces(by_soundfile(talk, "FLAC", "PCM_16"))
    half = len(parts) // 2
    said, code, _ = listen(server, "", [*parts[:half], '{"type": "Finalize"}', *parts[half:], CLOSE])
    assert code == 1000
    assert any(one.get("from_finalize") for one in said)
    assert said[-1]["duration"] == pytest.approx(len(talk) / RATE, abs=0.3)


def test_a_truncated_container_is_heard_as_far_as_it_goes_and_then_told(server: str, talk: NDArray[np.int16]) -> None:
    data = by_soundfile(talk, "FLAC", "PCM_16")
    said, code, reason = listen(server, "", [*pieces(data[: len(data) // 2]), CLOSE])
    assert code == 1008
    assert reason.startswith("DATA-0000: the audio cannot be read: the recording is truncated")
    assert spoken(said)
    assert said[-1]["type"] == "Error"


def test_nothing_is_left_of_connections_that_were_cut(server: str) -> None:
    data = written(KINDS["webm"])

    async def cut() -> None:
        async with at(server, "/v1/listen") as socket:
            for piece in pieces(data[: len(data) // 2]):
                await socket.send(piece)
            await asyncio.sleep(0.05)
            socket.transport.abort()

    for _ in range(10):
        asyncio.run(cut())
    wait_until_empty(server)
    assert health(server)["sessions"] == 0
    assert no_threads()


def test_a_container_that_comes_at_once_is_heard_no_faster_than_allowed(tiny_pipeline: Pipeline) -> None:
    with running(tiny_pipeline, speed_limit=20.0, burst_s=2.0) as address:
        begun_s = time.monotonic()
        data = by_soundfile(np.zeros(42 * RATE, np.int16), "FLAC", "PCM_16")
        _, code, _ = listen(address, "", [data, CLOSE])
        assert time.monotonic() - begun_s > 1.9
    assert code == 1000


@pytest.mark.parametrize("behind", [[], [CLOSE], ['{"type": "Finalize"}', CLOSE]])
@pytest.mark.parametrize("size", [700, 1 << 20])
def test_a_session_of_a_container_lasts_no_longer_than_any_whatever_was_said_behind_it(
    tiny_pipeline: Pipeline, behind: list[str], size: int
) -> None:
    with running(tiny_pipeline, speed_limit=0, max_duration_s=20.0) as address:
        data = by_soundfile(np.zeros(600 * RATE, np.int16), "FLAC", "PCM_16")
        said, code, reason = listen(address, "", [*pieces(data, size), *behind])
    assert code == 1001
    assert "a session may last 20 s" in reason
    told = next(one for one in said if one["type"] == "Metadata")
    assert 20 <= told["duration"] <= 24
    assert no_threads()


def test_a_long_container_in_one_message_is_heard_no_faster_than_allowed_and_still_ends(
    tiny_pipeline: Pipeline,
) -> None:
    with running(tiny_pipeline, speed_limit=50.0, burst_s=2.0, max_duration_s=30.0) as address:
        data = by_soundfile(np.zeros(3_600 * RATE, np.int16), "FLAC", "PCM_16")
        assert len(data) < 1 << 20
        _, code, reason = listen(address, "", [data, CLOSE])
    assert (code, "a session may last 30 s" in reason) == (1001, True)


def test_a_recordings_end_is_heard_before_another_codec_takes_over(tiny_pipeline: Pipeline) -> None:
    async def run(address: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address) as socket:
            await socket.send(json.dumps({"type": "config", "codec": "container", "output": ["captions"]}))
            data = by_soundfile(np.zeros(40 * RATE, np.int16), "FLAC", "PCM_16")
            await socket.send(pack_audio("container", 0, 0, data))
            await socket.send(json.dumps({"type": "config", "codec": "pcm16", "output": ["captions"]}))
            await socket.send(pack_audio("pcm16", 1, 0, bytes(2 * RATE)))
            await socket.send('{"type": "end"}')
            return await hear_out(socket)

    with running(tiny_pipeline, speed_limit=0) as address:
        said, code = asyncio.run(run(address))
    assert code == 1000
    assert said[-1]["type"] == "closed"
    assert said[-1]["summary"]["audio_ms"] == pytest.approx(41_000, abs=100)
