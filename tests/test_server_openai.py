"""OpenAI's realtime translation without a socket: what each event asks for, and what each answer is told as."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_events import (
    DEFAULTS,
    SILENCE,
    WELCOME,
    caption,
    event,
    refusal,
    said,
    transcription,
    translation,
)

from streamst.audio import from_pcm16, to_pcm16
from streamst.errors import ProtocolError
from streamst.server.wire.seam import (
    Audio,
    Closed,
    Configure,
    Configured,
    End,
    Failure,
    Message,
    Reply,
    Spoken,
)


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
