"""The service on a real port: what clients get is what a session on this computer says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from serving import (
    END,
    alone,
    audio,
    captions_of,
    heard_of,
    pieces,
    running,
    talk,
    told,
    translated,
    words_of,
)

from streamst.audio import Pcm, to_pcm16
from streamst.codecs.neural_stream import NeuralSpeechCodec
from streamst.events import Finished, Words
from streamst.pipeline import Pipeline
from streamst.server.wire.native import pack_audio
from streamst.server.wire.seam import Closed, Configured, Latency, Settings, Welcome


@pytest.fixture(scope="module")
def server(tiny_pipeline: Pipeline) -> Iterator[str]:
    with running(tiny_pipeline, max_sessions=4) as address:
        yield address


def test_a_client_gets_what_a_session_on_this_computer_says(server: str, tiny_pipeline: Pipeline, speech: Pcm) -> None:
    events = asyncio.run(translated(server, speech))
    local = alone(tiny_pipeline, speech)
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


def test_everything_is_said_before_closed_and_the_code_is_1000(
    server: str, tiny_pipeline: Pipeline, speech: Pcm
) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech))]
    said, code = asyncio.run(talk(server, '{"type":"config","latency":"high"}', *payloads, END))
    assert code == 1000
    assert said[-1]["type"] == "closed"
    expected = [word for _, _, words in words_of(alone(tiny_pipeline, speech, "high")) for word in words]
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


def test_settings_in_the_midst_finish_what_was_begun(server: str, tiny_pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech) * 2)]
    half = len(payloads) // 2
    other = '{"type":"config","latency":"high","output":["captions"]}'
    said, code = asyncio.run(talk(server, *payloads[:half], other, *payloads[half:], END))
    assert code == 1000
    first, second = alone(tiny_pipeline, speech), alone(tiny_pipeline, speech, "high")
    words = [tuple(message["words"]) for message in told(said, "words")]
    assert words == [words for _, _, words in words_of(first) + words_of(second)]
    at_ms = [message["source_ms"] for message in told(said, "words")]
    assert at_ms == sorted(at_ms)
    segments = [message["segment"] for message in told(said, "words")]
    assert segments == sorted(segments)
    assert len(set(segments)) == len({s for _, s, _ in words_of(first)}) + len({s for _, s, _ in words_of(second)})
    assert said[-1]["summary"]["samples"] == 2 * len(speech)


def test_another_latency_takes_over_in_mid_sentence(server: str, tiny_pipeline: Pipeline, speech: Pcm) -> None:
    payloads = [pack_audio("pcm16", i, 0, to_pcm16(piece)) for i, piece in enumerate(pieces(speech) * 2)]
    half = len(payloads) // 2
    dial = '{"type":"config","latency":"high"}'
    said, code = asyncio.run(talk(server, '{"type":"config"}', *payloads[:half], dial, *payloads[half:], END))
    assert code == 1000
    session = tiny_pipeline.session(latency="medium")
    events = [event for piece in pieces(speech) for event in session.push(piece)]
    high = tiny_pipeline.session(latency="high")
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
    server: str, tiny_pipeline: Pipeline, tiny_codec: NeuralSpeechCodec, speech: Pcm
) -> None:
    settings = Settings(codec="neural", output_codec="neural")
    events = asyncio.run(translated(server, speech, settings, codec=tiny_codec))
    encoder, decoder = tiny_codec.encoder(), tiny_codec.decoder()
    uplinked = np.concatenate([*[decoder.push(encoder.push(p)) for p in pieces(speech)], decoder.push(encoder.flush())])
    local = alone(tiny_pipeline, uplinked)
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


def test_two_speakers_at_once_get_what_each_gets_alone(server: str, tiny_pipeline: Pipeline, speech: Pcm) -> None:
    other = np.ascontiguousarray(speech[::-1])

    async def both() -> tuple[list[Any], list[Any]]:
        return await asyncio.gather(translated(server, speech), translated(server, other))

    first, second = asyncio.run(both())
    assert words_of(first) == words_of(alone(tiny_pipeline, speech))
    assert words_of(second) == words_of(alone(tiny_pipeline, other))


def test_a_glossary_of_ten_thousand_terms_is_taken_and_what_cannot_be_used_of_it_is_told(
    tiny_pipeline: Pipeline, speech: Pcm
) -> None:
    letters = "abcdefghij"
    names = ["".join(letters[int(digit)] for digit in f"{n:04}") for n in range(10_000)]
    glossary = (*((f"cat {name}", "Tag") for name in names), ("!?", "See"), ("dog", "\N{SNOWMAN}"), ("mat", ""))
    settings = Settings(target="de", latency="low", glossary=glossary)
    with running(tiny_pipeline) as address:
        events = asyncio.run(translated(address, speech[:16_000], settings))
    (configured,) = [event for event in events if isinstance(event, Configured)]
    assert configured.terms == 10_002
    assert [(one.entry, one.source) for one in configured.left_out] == [(10_001, "!?"), (10_002, "dog")]
    assert configured.left_out[1].reason.endswith("; it is heard only")
    assert isinstance(events[-1], Finished)
