"""OpenAI's realtime protocols without a socket: what each event asks for, and what each answer is told as."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.audio import from_pcm16, to_pcm16
from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.foreign.openai_transcription import OpenAITranscription
from streamst.server.foreign.openai_translation import OpenAITranslation
from streamst.server.wire.seam import (
    Audio,
    Closed,
    Command,
    Configure,
    Configured,
    End,
    Failure,
    LeftOut,
    Message,
    Offer,
    Reply,
    Settings,
    Spoken,
    Welcome,
)

OFFER = Offer(source="en", targets=("de", "fr"), latencies=("minimal", "low", "medium", "high", "xhigh"))
WELCOME = Welcome("1234", OFFER, {})
DEFAULTS = Settings(target="de", latency="medium")
SILENCE = base64.b64encode(bytes(4800)).decode()  # 100 ms at 24 kHz


def counted() -> Any:
    numbers = itertools.count()
    return lambda: str(next(numbers))


def translation(welcomed: bool = True) -> OpenAITranslation:
    protocol = OpenAITranslation("m", DEFAULTS, 99, 1 << 16, "realtime", new_id=counted())
    if welcomed:
        protocol.render(WELCOME, 0.0)
        protocol.render(Configured(protocol.settings, 320), 0.0)
    return protocol


def transcription() -> OpenAITranscription:
    protocol = OpenAITranscription(DEFAULTS, 99, 1 << 16, "realtime", new_id=counted())
    protocol.render(WELCOME, 0.0)
    protocol.render(Configured(protocol.settings, 320), 0.0)
    return protocol


def said(protocol: OpenAITranslation | OpenAITranscription, *answers: Any) -> list[dict[str, Any]]:
    """The events for some answers, without their identifiers."""
    events = [json.loads(message) for answer in answers for message in protocol.render(answer, 0.0)]
    assert all(event.pop("event_id").startswith("event_") for event in events)
    return events


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def refusal(commands: list[Command]) -> dict[str, Any]:
    """The error that a single reply tells."""
    (reply,) = commands
    assert isinstance(reply, Reply)
    (message,) = reply.messages
    told = json.loads(message)
    assert told["type"] == "error"
    return told["error"]


def caption(lang: str, segment: int, stable: str, final: bool = False, at_ms: float = 640.0, **more: Any) -> Caption:
    return Caption(
        source_ms=at_ms, compute_ms=1.0, lang=lang, segment=segment, revision=0, stable=stable, start_ms=100.0,
        end_ms=at_ms, final=final, **more,
    )  # fmt: skip


# --- translation


def test_a_translation_session_is_created_with_what_holds() -> None:
    (created,) = said(translation(welcomed=False), WELCOME)
    assert created["type"] == "session.created"
    assert created["session"] == {
        "id": "sess_1234",
        "type": "translation",
        "model": "m",
        "expires_at": 99,
        "audio": {"input": {"transcription": None, "noise_reduction": None}, "output": {"language": "de"}},
    }


def test_audio_is_decoded_and_counted() -> None:
    protocol = translation()
    first, second = (protocol.receive(event("session.input_audio_buffer.append", audio=SILENCE))[0] for _ in range(2))
    assert first == Audio("pcm16", 0, 0, bytes(4800))
    assert second == Audio("pcm16", 1, 2400, bytes(4800))


def test_another_language_is_configured_and_then_told() -> None:
    protocol = translation()
    asked = {"audio": {"output": {"language": "fr-FR"}, "input": {"transcription": {"model": "w"}}}}
    (command,) = protocol.receive(event("session.update", session=asked))
    assert isinstance(command, Configure)
    assert (command.settings.target, command.settings.sample_rate_hz) == ("fr", 24_000)
    (updated,) = said(protocol, Configured(command.settings, 320))
    assert updated["type"] == "session.updated"
    assert updated["session"]["audio"]["output"] == {"language": "fr"}
    assert updated["session"]["audio"]["input"]["transcription"] == {"model": "w"}


def test_an_update_that_changes_no_language_is_told_at_once_and_interrupts_nothing() -> None:
    (reply,) = translation().receive(event("session.update", session={"audio": {"output": {"language": "de"}}}))
    assert isinstance(reply, Reply)
    assert json.loads(reply.messages[0])["type"] == "session.updated"


def test_the_first_configured_answers_no_update() -> None:
    protocol = translation(welcomed=False)
    protocol.render(WELCOME, 0.0)
    protocol.receive(event("session.update", session={"audio": {"output": {"language": "fr"}}}))
    assert said(protocol, Configured(DEFAULTS, 320)) == []
    assert [e["type"] for e in said(protocol, Configured(protocol.settings, 320))] == ["session.updated"]


def test_deltas_only_append_stable_text_and_joined_they_are_all_of_it() -> None:
    protocol = translation()
    captions = [
        caption("de", 0, "Guten"),
        caption("de", 0, "Guten", unstable="Abend"),
        caption("de", 0, "Guten Morgen.", final=True, at_ms=1290.0),
        caption("de", 1, ""),
        caption("de", 1, "Wo ist", at_ms=2000.0),
    ]
    events = said(protocol, *captions)
    assert [e["delta"] for e in events] == ["Guten", " Morgen.", " Wo ist"]
    assert {e["type"] for e in events} == {"session.output_transcript.delta"}
    assert [e["elapsed_ms"] for e in events] == [600, 1200, 2000]


def test_the_source_is_told_only_where_a_transcription_is_asked_for() -> None:
    protocol = translation()
    assert said(protocol, caption("en", 0, "good")) == []
    protocol.receive(event("session.update", session={"audio": {"input": {"transcription": {"model": "w"}}}}))
    (delta,) = said(protocol, caption("en", 0, "good morning"))
    assert (delta["type"], delta["delta"]) == ("session.input_transcript.delta", " morning")


def test_speech_is_told_at_24_khz_in_pieces_of_at_most_200_ms_and_nothing_is_lost() -> None:
    protocol = translation()
    tone = (np.sin(np.arange(16_000) * (2 * np.pi * 440 / 16_000)) / 2).astype(np.float32)
    parts = [to_pcm16(tone[at : at + 5000]) for at in range(0, 16_000, 5000)]
    spoken = [Spoken("pcm16", part, len(part) // 2, 16_000, "", 1000.0, 0.0, 0) for part in parts]
    *pieces, closed = said(protocol, *spoken, Closed())
    assert closed == {"type": "session.closed"}
    assert {(p["type"], p["sample_rate"], p["channels"], p["format"]) for p in pieces} == {
        ("session.output_audio.delta", 24_000, 1, "pcm16")
    }
    decoded = [base64.b64decode(piece["delta"]) for piece in pieces]
    assert max(len(piece) for piece in decoded) <= 2 * 4800
    heard = from_pcm16(b"".join(decoded))
    expected = np.sin(np.arange(24_000) * (2 * np.pi * 440 / 24_000)) / 2
    assert len(heard) == 24_000
    assert np.abs(heard - expected)[500:-500].max() < 2e-3


def test_close_ends_the_stream() -> None:
    assert translation().receive(event("session.close")) == [End()]


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (event("session.dance"), "invalid_value", "type"),
        ("{}", "invalid_value", "type"),
        (event("session.update"), "missing_required_parameter", "session"),
        (event("session.update", session=7), "invalid_type", "session"),
        (event("session.update", session={"audio": []}), "invalid_type", "session.audio"),
        (
            event("session.update", session={"audio": {"output": {"language": "tlh"}}}),
            "invalid_value",
            "session.audio.output.language",
        ),
        (event("session.update", session={"model": "n"}), "invalid_value", "session.model"),
        (event("session.update", session={"type": "realtime"}), "invalid_value", "session.type"),
        (event("session.input_audio_buffer.append"), "missing_required_parameter", "audio"),
        (event("session.input_audio_buffer.append", audio="%%%"), "invalid_value", "audio"),
        (event("session.input_audio_buffer.append", audio="AAAA"), "invalid_value", "audio"),
    ],
)
def test_what_is_not_possible_is_told_and_the_session_goes_on(message: str, code: str, param: str) -> None:
    protocol = translation()
    marked = json.dumps({**json.loads(message), "event_id": "mine"})
    error = refusal(protocol.receive(marked))
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["event_id"] == "mine"
    assert error["message"]
    assert protocol.receive(event("session.close")) == [End()]


@pytest.mark.parametrize(
    ("message", "code"), [(b"\0\0", 1003), ("hello", 1007), ("[1]", 1007), ('{"a": NaN}', 1007), ("0" * 70_000, 1009)]
)
def test_what_is_no_event_at_all_ends_the_session(message: Message, code: int) -> None:
    for protocol in (translation(), transcription()):
        with pytest.raises(ProtocolError) as caught:
            protocol.receive(message)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "closing", "name"),
    [
        (1007, 1007, "invalid_json"),
        (4401, 3000, "invalid_api_key"),
        (4400, 1008, "invalid_value"),
        (4408, 1001, "session_idle"),
        (1011, 1011, "internal_error"),
    ],
)
def test_a_failure_is_an_error_event_and_a_close_code_of_theirs(code: int, closing: int, name: str) -> None:
    protocol = translation()
    (told,) = said(protocol, Failure(code, "because"))
    assert (told["type"], told["error"]["code"], told["error"]["message"]) == ("error", name, "because")
    close, reason = protocol.closing(code, "because")
    assert close == closing
    assert reason.endswith(name)


# --- transcription

PREFIX = "conversation.item.input_audio_transcription"


def update(**heard: Any) -> str:
    return event("session.update", session={"type": "transcription", "audio": {"input": heard}})


def test_with_turn_detection_an_item_is_a_segment() -> None:
    events = said(
        transcription(),
        caption("en", 0, "", unstable="g"),
        caption("en", 0, "good"),
        caption("de", 0, "Guten"),
        caption("en", 0, "good morning", final=True, at_ms=900.0),
        caption("en", 1, "where", final=True, at_ms=2000.0),
    )
    assert [e["type"].rpartition(".")[2] for e in events] == [
        "speech_started", "delta", "delta", "speech_stopped", "committed", "completed",
        "speech_started", "delta", "speech_stopped", "committed", "completed",
    ]  # fmt: skip
    first, second = events[:6], events[6:]
    assert {e["item_id"] for e in first} == {events[0]["item_id"]}
    assert (events[0]["audio_start_ms"], events[3]["audio_end_ms"]) == (100, 900)
    assert (first[4]["previous_item_id"], second[3]["previous_item_id"]) == (None, first[0]["item_id"])
    assert [e["transcript"] for e in events if e["type"] == f"{PREFIX}.completed"] == ["good morning", "where"]
    assert first[5]["usage"] == {"type": "duration", "seconds": 0.8}
    assert [e["delta"] for e in first if "delta" in e] == ["good", " morning"]


def test_without_turn_detection_an_item_is_what_is_committed() -> None:
    protocol = transcription()
    (reply,) = protocol.receive(update(turn_detection=None))
    assert isinstance(reply, Reply)
    assert json.loads(reply.messages[0])["session"]["audio"]["input"]["turn_detection"] is None
    protocol.receive(event("input_audio_buffer.append", audio=SILENCE))
    deltas = said(protocol, caption("en", 0, "good", final=True), caption("en", 1, "day"))
    assert [e["delta"] for e in deltas] == ["good", " day"]
    (command,) = protocol.receive(event("input_audio_buffer.commit"))
    assert isinstance(command, Configure)
    events = said(protocol, caption("en", 1, "day sir", final=True), Configured(command.settings, 320))
    assert [e["type"].rpartition(".")[2] for e in events] == ["delta", "committed", "completed"]
    assert events[-1]["transcript"] == "good day sir"


def test_a_commit_with_turn_detection_is_always_answered_once() -> None:
    protocol = transcription()
    protocol.receive(event("input_audio_buffer.append", audio=SILENCE))
    (command,) = protocol.receive(event("input_audio_buffer.commit"))
    assert isinstance(command, Configure)
    flushed = said(protocol, caption("en", 0, "yes", final=True), Configured(command.settings, 320))
    assert [e["type"] for e in flushed].count(f"{PREFIX}.completed") == 1
    protocol.receive(event("input_audio_buffer.append", audio=SILENCE))
    protocol.receive(event("input_audio_buffer.commit"))
    silent = said(protocol, Configured(command.settings, 320))
    assert [e.get("transcript") for e in silent] == [None, ""]


def test_cleared_audio_is_never_told() -> None:
    protocol = transcription()
    (command,) = protocol.receive(event("input_audio_buffer.clear"))
    assert isinstance(command, Configure)
    dropped = said(protocol, caption("en", 0, "oh no", final=True))
    (cleared,) = said(protocol, Configured(command.settings, 320))
    assert (dropped, cleared["type"]) == ([], "input_audio_buffer.cleared")
    assert said(protocol, caption("en", 1, "well"))[-1]["delta"] == "well"


@pytest.mark.parametrize("detection", [None, {"type": "server_vad"}])
def test_what_was_committed_is_told_though_the_buffer_is_cleared_right_after(detection: dict[str, str] | None) -> None:
    protocol = transcription()
    protocol.receive(update(turn_detection=detection))
    protocol.receive(event("input_audio_buffer.append", audio=SILENCE))
    (commit,) = protocol.receive(event("input_audio_buffer.commit"))
    protocol.receive(event("input_audio_buffer.append", audio=SILENCE))
    (clear,) = protocol.receive(event("input_audio_buffer.clear"))
    assert isinstance(commit, Configure)
    assert isinstance(clear, Configure)
    kept = said(protocol, caption("en", 0, "yes", final=True), Configured(commit.settings, 320))
    assert [e["transcript"] for e in kept if "transcript" in e] == ["yes"]
    dropped = said(protocol, caption("en", 1, "oh no", final=True), Configured(clear.settings, 320))
    assert [e["type"] for e in dropped] == ["input_audio_buffer.cleared"]


def test_a_commit_of_less_than_100_ms_is_refused() -> None:
    error = refusal(transcription().receive(event("input_audio_buffer.commit")))
    assert error["code"] == "input_audio_buffer_commit_empty"


def test_delay_is_the_latency_dial_and_telephone_audio_is_heard() -> None:
    protocol = transcription()
    (command,) = protocol.receive(update(format={"type": "audio/pcmu"}, transcription={"delay": "xhigh"}))
    assert isinstance(command, Configure)
    assert (command.settings.latency, command.settings.sample_rate_hz) == ("xhigh", 8000)
    assert command.settings.output == ("captions",)
    (audio,) = protocol.receive(event("input_audio_buffer.append", audio=base64.b64encode(b"\xff\x7f\xfe").decode()))
    assert isinstance(audio, Audio)
    assert np.frombuffer(audio.payload, "<i2").tolist() == [0, 0, 8]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (update(format={"type": "audio/mp3"}), "session.audio.input.format.type"),
        (update(format={"type": "audio/pcm", "rate": 16_000}), "session.audio.input.format.rate"),
        (update(transcription={"language": "tlh"}), "session.audio.input.transcription.language"),
        (update(transcription={"delay": "never"}), "session.audio.input.transcription.delay"),
        (update(turn_detection={"type": "psychic"}), "session.audio.input.turn_detection.type"),
        (event("session.update", session={"type": "realtime"}), "session.type"),
        (event("response.create"), "type"),
    ],
)
def test_an_impossible_transcription_is_told_and_changes_nothing(message: str, param: str) -> None:
    protocol = transcription()
    before = protocol.settings
    assert refusal(protocol.receive(message))["param"] == param
    assert protocol.settings == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["session", "audio", "input", "output", "language", "transcription", "format", "type", "rate", "turn_detection"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from([
    "session.update", "session.input_audio_buffer.append", "input_audio_buffer.append", "input_audio_buffer.commit",
])  # fmt: skip


@given(KINDS, st.fixed_dictionaries({"session": JSON, "audio": JSON}))
def test_no_event_does_more_than_earn_an_error(kind: str, fields: dict[str, Any]) -> None:
    for protocol in (translation(), transcription()):
        (command,) = protocol.receive(json.dumps({**fields, "type": kind})) or [End()]
        assert isinstance(command, Reply | Configure | Audio | End)


def test_keywords_and_a_prompt_that_lists_terms_are_terms_of_the_session() -> None:
    protocol = transcription()
    asked = {"keywords": ["metformin", "Okafor"], "prompt": "New York, Okafor; box.", "languages": ["en-GB", "en"]}
    (command,) = protocol.receive(update(transcription=asked))
    assert isinstance(command, Configure)
    assert command.settings.glossary == (("metformin", ""), ("Okafor", ""), ("New York", ""), ("box", ""))
    left_out = (LeftOut(2, "Okafor", "it has no letter"),)
    updated, error = said(protocol, Configured(command.settings, 320, 3, left_out))
    assert updated["session"]["audio"]["input"]["transcription"]["keywords"] == ["metformin", "Okafor"]
    assert updated["session"]["audio"]["input"]["transcription"]["languages"] == ["en"]
    assert error["error"]["code"] == "keywords_left_out"
    assert error["error"]["message"] == "1 of 4 keywords cannot be used: 'Okafor': it has no letter"
    (command,) = protocol.receive(update(transcription={"keywords": []}))
    assert isinstance(command, Configure)
    assert command.settings.glossary == (("New York", ""), ("Okafor", ""), ("box", ""))


def test_a_prompt_that_is_no_list_is_told_and_not_used() -> None:
    protocol = transcription()
    (reply,) = protocol.receive(update(transcription={"prompt": "expect many words that have to do with technology"}))
    assert isinstance(reply, Reply)
    updated, error = map(json.loads, reply.messages)
    assert updated["type"] == "session.updated"
    assert (error["error"]["code"], error["error"]["param"]) == (
        "prompt_not_used", "session.audio.input.transcription.prompt",
    )  # fmt: skip
    for asked in ({"keywords": "box"}, {"languages": ["de"]}):
        assert refusal(protocol.receive(update(transcription=asked)))["param"].endswith(next(iter(asked)))
