"""OpenAI's realtime transcription without a socket: items, commits, turn detection, keywords."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from openai_events import (
    SILENCE,
    caption,
    event,
    refusal,
    said,
    transcription,
)

from streamst.server.wire.seam import (
    Audio,
    Configure,
    Configured,
    LeftOut,
    Reply,
)

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
