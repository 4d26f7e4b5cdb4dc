"""The audio that Deepgram's clients send, and their live protocol's addresses, without a socket."""

from __future__ import annotations

import io
import itertools
import struct
from urllib.parse import parse_qsl

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamst.codecs.opus import pyav
from streamst.errors import ProtocolError
from streamst.server.foreign.deepgram import DeepgramProtocol, Wishes, extras_in, read_query
from streamst.server.foreign.deepgram_audio import make_decoder
from streamst.server.wire.containers import Unpacking
from streamst.server.wire.g711 import ALAW, MULAW
from streamst.server.wire.seam import (
    Audio,
    End,
    Settings,
)
from streamst.server.wire.wav import UnusualError, WavDecoder


def query(**fields: str) -> Wishes:
    extras = [fields.pop("extra")] if "extra" in fields else []
    return read_query(fields, extras, "en", ("de",))


def test_the_address_says_what_is_wished() -> None:
    wished = query(
        encoding="mulaw", sample_rate="8000", language="en-US", interim_results="true", endpointing="300",
        utterance_end_ms="1500", vad_events="true", extra="translate:de-DE", model="nova-3", smart_format="true",
    )  # fmt: skip
    assert wished == Wishes("mulaw", 8000, True, True, True, 1500, "de")
    assert query(encoding="linear16", sample_rate="16000", endpointing="false").endpointing is False


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"language": "tlh"}, "allowed: en"),
        ({"channels": "2"}, "channels"),
        ({"multichannel": "true"}, "channels"),
        ({"interim_results": "maybe"}, "allowed: true, false"),
        ({"encoding": "linear16"}, "sample_rate is needed"),
        ({"encoding": "linear16", "sample_rate": "fast"}, "sample_rate: 'fast'"),
        ({"encoding": "linear16", "sample_rate": "9" * 5000}, "not a whole number"),
        ({"utterance_end_ms": "10"}, "at least 1000"),
        ({"utterance_end_ms": "9" * 5000}, "at least 1000"),
        ({"extra": "translate:tlh"}, "allowed: de"),
    ],
)
def test_an_impossible_wish_is_refused_by_name(fields: dict[str, str], named: str) -> None:
    with pytest.raises(ProtocolError, match=named) as caught:
        query(**fields)
    assert caught.value.code == 4400


@pytest.mark.parametrize(("encoding", "rate"), [("amr-nb", 8000), ("linear16", 4000), ("linear16", 96_000)])
def test_an_impossible_encoding_or_rate_is_refused(encoding: str, rate: int) -> None:
    with pytest.raises(ProtocolError, match="allowed: ") as caught:
        make_decoder(encoding, rate)
    assert caught.value.code == 4400


@pytest.mark.parametrize(("table", "subtype"), [(MULAW, "ULAW"), (ALAW, "ALAW")])
def test_g711_is_libsndfiles(table: np.ndarray, subtype: str) -> None:
    raw = io.BytesIO(bytes(range(256)))
    expected, _ = soundfile.read(raw, samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="int16")
    assert table.tolist() == expected.tolist()


def wav(subtype: str, rate: int, samples: np.ndarray, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


TONE = (np.sin(np.arange(4000) / 9) * 12_000).astype(np.int16)


@pytest.mark.parametrize("piece", [1, 7, 44, 1000, 100_000])
@pytest.mark.parametrize("form", ["WAV PCM_16", "WAVEX PCM_16", "WAV ULAW", "WAV ALAW"])
def test_a_wav_file_is_heard_however_it_is_cut(piece: int, form: str) -> None:
    kind, subtype = form.split()
    file = wav(subtype, 22_050, TONE, kind)
    decoder = WavDecoder()
    out = b"".join(decoder.decode(file[at : at + piece]) for at in range(0, len(file), piece))
    expected, rate = soundfile.read(io.BytesIO(file), dtype="int16")
    assert decoder.rate_hz == rate == 22_050
    assert np.frombuffer(out, "<i2").tolist() == expected.tolist()


def test_a_wav_file_of_unknown_length_is_heard_to_its_end() -> None:
    file = bytearray(wav("PCM_16", 8000, TONE))
    at = file.index(b"data") + 4
    file[at : at + 4] = b"\xff\xff\xff\xff"
    assert WavDecoder().decode(bytes(file)) == TONE.tobytes()


@pytest.mark.parametrize("asked", [{}, {"encoding": "flac"}, {"encoding": "ogg-opus", "sample_rate": "48000"}])
def test_without_an_encoding_and_with_a_containers_the_bytes_go_on_as_a_container(asked: dict[str, str]) -> None:
    made = DeepgramProtocol(query(**asked), Settings(target="de"), 1000)
    assert made.settings.codec == "container"
    first, second = made.receive(b"RIFF"), made.receive(b"....WAVE")
    assert [*first, *second] == [Audio("container", 0, 0, b"RIFF"), Audio("container", 1, 0, b"....WAVE")]
    assert made.receive(b"") == [End()]


@pytest.mark.parametrize("payload", [b"not a WAV file at all", b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0"])
def test_what_is_no_wav_file_is_undecodable(payload: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        WavDecoder().decode(payload)
    assert caught.value.code == 1007


def test_a_wav_file_that_is_not_plain_is_left_to_others_before_anything_of_it_is_heard() -> None:
    with pytest.raises(UnusualError, match="format 2, 4 bits, 1 channels, 8000 Hz"):
        WavDecoder().decode(wav("MS_ADPCM", 8000, TONE))
    with pytest.raises(UnusualError, match="96000 Hz"):
        WavDecoder().decode(wav("PCM_16", 96_000, TONE))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_of_any_plain_coding_and_channels_are_the_mean_of_the_channels(subtype: str) -> None:
    file = wav(subtype, 8000, np.stack([TONE, TONE // 2, np.zeros_like(TONE)], 1) / 32_768)
    decoder = WavDecoder()
    out = b"".join(decoder.decode(file[at : at + 997]) for at in range(0, len(file), 997))
    expected, _ = soundfile.read(io.BytesIO(file))
    assert np.frombuffer(out, "<i2") / 32_768 == pytest.approx(expected.mean(1), abs=1 / 32_768)


def test_opus_packets_are_heard_and_garbage_is_undecodable() -> None:
    av = pyav()
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    tone = (np.sin(np.arange(48_000) * (2 * np.pi * 300 / 48_000)) * 12_000).astype(np.int16)
    packets: list[bytes] = []
    for at in range(0, 48_000, 960):
        frame = av.AudioFrame.from_ndarray(tone[None, at : at + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    decoder = make_decoder("opus", 48_000)
    assert decoder is not None
    out = np.frombuffer(b"".join(decoder.decode(packet) for packet in packets), "<i2").astype(float)
    lag = int(np.argmax(np.correlate(out[:9600], tone[:4800].astype(float), "valid")))
    middle = slice(9600, 38_400)
    assert np.corrcoef(out[lag:][middle], tone[: len(out) - lag][middle])[0, 1] > 0.99
    with pytest.raises(ProtocolError) as caught:
        decoder.decode(b"\xff\xff\xff\xff garbage")
    assert caught.value.code == 1007


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_raw_samples_are_the_same_however_they_are_cut(parts: list[bytes]) -> None:
    decoder = make_decoder("linear16", 16_000)
    assert decoder is not None
    whole = b"".join(parts)
    assert b"".join(decoder.decode(part) for part in parts) == whole[: len(whole) // 2 * 2]


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_earn_data_0000(payload: bytes) -> None:
    code = 0
    try:
        Unpacking(16_000).hear(payload[:11])
        WavDecoder().decode(payload)
    except ProtocolError as error:
        code = error.code
    except UnusualError:
        code = 0
    assert code in (0, 1007)


def riff(pcm: bytes, size: int | None = None, before: bytes = b"", rate: int = 16_000) -> bytes:
    """A WAV file whose header says `size` bytes of samples, whatever follows."""
    size = len(pcm) if size is None else size
    told = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    head = b"WAVE" + before + b"fmt " + len(told).to_bytes(4, "little") + told + b"data" + size.to_bytes(4, "little")
    return b"RIFF" + (len(head) + len(pcm)).to_bytes(4, "little") + head + pcm


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


SAMPLES = (10_000 * np.sin(np.arange(8000) / 7)).astype("<i2").tobytes()
PARTS = [SAMPLES[at : at + 4000] for at in range(0, len(SAMPLES), 4000)]
STREAMS = {
    "a header of the right size in each message": b"".join(riff(part) for part in PARTS),
    "headers of unknown size": b"".join(riff(part, 0xFFFFFFFF) for part in PARTS),
    "headers of size 0": b"".join(riff(part, 0) for part in PARTS),
    "headers of what sox and espeak-ng write": b"".join(riff(part, 0x7FFFF000) for part in PARTS),
    "headers of ffmpeg's streams": b"".join(riff(part, 0xFFFFFFDA) for part in PARTS),
    "each header promises the whole": b"".join(riff(part, len(SAMPLES)) for part in PARTS),
    "the header promises half": riff(SAMPLES, len(SAMPLES) // 2),
    "the header promises a few samples": riff(SAMPLES, 10),
    "a list before the format and one after the samples": riff(SAMPLES, before=chunk(b"JUNK", b"123"))
    + chunk(b"LIST", b"INFOISFT" + b"x" * 61),
    "a list between two files": riff(PARTS[0]) + chunk(b"LIST", b"INFO") + riff(b"".join(PARTS[1:])),
    "samples go on after a list": riff(PARTS[0]) + chunk(b"id3 ", b"abc") + b"".join(PARTS[1:]),
    "a second file that begins with padding": riff(PARTS[0])
    + riff(b"".join(PARTS[1:]), before=chunk(b"JUNK", b"x" * 28)),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
@pytest.mark.parametrize("size", [1, 7, 640, 4044, 100_000])
def test_every_sample_of_a_wav_stream_is_heard_whatever_its_headers_promise(stream: bytes, size: int) -> None:
    decoder = WavDecoder()
    assert b"".join(decoder.decode(stream[at : at + size]) for at in range(0, len(stream), size)) == SAMPLES


@settings(deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6), st.sampled_from([None, 0, 0x7FFFF000]), st.data())
def test_headers_may_stand_anywhere_and_messages_end_anywhere(
    lengths: list[int], size: int | None, data: st.DataObject
) -> None:
    noise = np.random.default_rng(1).integers(-20_000, 20_000, sum(lengths), "<i2").tobytes()
    ends = np.cumsum([0, *lengths]) * 2
    stream = b"".join(riff(noise[a:b], size) for a, b in itertools.pairwise(ends))
    decoder, heard, at = WavDecoder(), b"", 0
    while at < len(stream):
        step = data.draw(st.integers(1, 2000))
        heard += decoder.decode(stream[at : at + step])
        at += step
    assert heard == noise


def test_a_header_of_another_rate_within_the_stream_is_refused_in_words() -> None:
    decoder = WavDecoder()
    decoder.decode(riff(SAMPLES))
    with pytest.raises(ProtocolError, match=r"a WAV header of 8000 Hz, .* within audio of 16000 Hz"):
        decoder.decode(riff(SAMPLES, rate=8000))


def test_the_translation_is_asked_for_in_either_spelling() -> None:
    for query in ("extra=translate:de", "extra=translate%3Ade", "extra[translate]=de", "extra%5Btranslate%5D=de-DE"):
        pairs = parse_qsl(query)
        assert read_query(dict(pairs), extras_in(pairs), "en", ("de",)).target == "de"


@pytest.mark.parametrize("query", ["extra=tag:mine", "extra[tag]=mine", "extra[translate]=xx", "extra=translate"])
def test_an_extra_that_is_not_known_is_refused_with_what_is(query: str) -> None:
    pairs = parse_qsl(query)
    with pytest.raises(ProtocolError, match="allowed: ") as caught:
        read_query(dict(pairs), extras_in(pairs), "en", ("de",))
    assert caught.value.code == 4400


@pytest.mark.parametrize("encoding", ["speex", "g729", "amr-nb", "PCM"])
@pytest.mark.parametrize("rate", ["", "&sample_rate=16000"])
def test_an_encoding_that_is_not_heard_is_refused_as_that_with_and_without_a_rate(encoding: str, rate: str) -> None:
    with pytest.raises(ProtocolError, match=f"encoding: '{encoding}'; allowed: linear16"):
        read_query(dict(parse_qsl(f"encoding={encoding}{rate}")), [], "en", ("de",))
