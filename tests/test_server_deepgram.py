"""Deepgram's live protocol without a socket: what is said and what is answered."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from deepgram import WELCOME, heard, protocol, told

from streamst.errors import ProtocolError
from streamst.events import Caption
from streamst.server.foreign.deepgram import DeepgramProtocol, Wishes, read_query
from streamst.server.wire.seam import (
    Acknowledged,
    Alive,
    Audio,
    Closed,
    Configure,
    Configured,
    End,
    Failure,
    LeftOut,
    Reply,
    Settings,
)


def reply(made: DeepgramProtocol, message: str) -> dict[str, Any]:
    (command,) = made.receive(message)
    assert isinstance(command, Reply)
    return json.loads(command.messages[0])


def acknowledged(ms: float) -> Acknowledged:
    return Acknowledged(0, 0, ms)


def transcript(result: dict[str, Any]) -> str:
    return result["channel"]["alternatives"][0]["transcript"]


def test_an_utterance_is_told_word_by_word_and_then_once_more_for_good() -> None:
    results = told(
        protocol(interim=True), heard(0, "good", "morn"), heard(0, "good morning", final=True), acknowledged(1000)
    )
    assert [(transcript(r), r["is_final"], r["speech_final"]) for r in results] == [
        ("good morn", False, False),
        ("good morning", True, True),
    ]
    assert [w["confidence"] for w in results[0]["channel"]["alternatives"][0]["words"]] == [1.0, 0.5]
    final = results[1]
    assert (final["start"], final["duration"], final["channel_index"]) == (0.0, 0.19, [0, 1])
    assert final["channel"]["alternatives"][0]["words"][1] == {
        "word": "morning", "start": 0.1, "end": 0.19, "confidence": 1.0, "punctuated_word": "morning",
    }  # fmt: skip
    assert final["metadata"]["request_id"] == "abcd"


def test_without_interim_results_only_the_final_ones_are_told() -> None:
    results = told(protocol(), heard(0, "good"), heard(0, "good morning", final=True), acknowledged(1000))
    assert [transcript(result) for result in results] == ["good morning"]


def test_a_final_result_waits_for_its_translation() -> None:
    made = protocol(target="de")
    results = told(
        made,
        heard(0, "good morning", final=True),
        heard(0, "Guten Morgen.", final=True, lang="de"),
        heard(1, "where", final=True),
        heard(1, "Wo?", final=True, lang="de"),
        Closed(),
    )
    assert [r.get("translation", {}).get("transcript") for r in results] == ["Guten Morgen.", "Wo?", None]
    assert [r["type"] for r in results] == ["Results", "Results", "Metadata"]


def test_finalize_flushes_and_marks_the_result() -> None:
    made = protocol()
    (command,) = made.receive('{"type": "Finalize"}')
    assert isinstance(command, Configure)
    assert command.flush
    (result,) = told(made, heard(0, "good", final=True), Configured(command.settings, 320))
    assert (transcript(result), result["from_finalize"], result["is_final"]) == ("good", True, True)


def test_finalize_with_nothing_heard_is_answered_too() -> None:
    made = protocol()
    made.receive('{"type": "Finalize"}')
    (result,) = told(made, Configured(made.settings, 320))
    assert (transcript(result), result["from_finalize"]) == ("", True)


def test_a_result_that_was_final_before_finalize_is_not_marked() -> None:
    made = protocol()
    made.receive('{"type": "Finalize"}')
    before = [heard(0, "one", final=True), acknowledged(900)]
    results = told(made, *before, heard(1, "two", final=True), Configured(made.settings, 320))
    assert [(transcript(r), r["from_finalize"]) for r in results] == [("one", False), ("two", True)]


def test_speech_started_and_utterance_end_are_told_where_asked_for() -> None:
    made = protocol(vad_events=True, utterance_end_ms=1000)
    events = told(
        made, heard(0, "good"), heard(0, "good morning", final=True), acknowledged(900), acknowledged(1189),
        acknowledged(1190), acknowledged(5000),
    )  # fmt: skip
    assert [event["type"] for event in events] == ["SpeechStarted", "Results", "UtteranceEnd"]
    assert events[0]["timestamp"] == 0.0
    assert events[2] == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.19}
    assert told(protocol(), heard(0, "good", final=True), acknowledged(9000))[-1]["type"] == "Results"


def test_the_end_tells_what_was_heard() -> None:
    made = protocol()
    payload = b"\1\0" * 8000
    (audio,) = made.receive(payload)
    assert audio == Audio("pcm16", 0, 0, payload)
    assert made.receive('{"type": "CloseStream"}') == [End()]
    assert made.receive(payload) == made.receive('{"type": "Finalize"}') == []  # too late: neither heard nor counted
    (metadata,) = told(made, Closed())
    assert (metadata["type"], metadata["duration"], metadata["channels"]) == ("Metadata", 0.5, 1)
    assert metadata["sha256"] == hashlib.sha256(payload).hexdigest()
    assert metadata["created"] == "1970-01-01T00:00:00.000Z"


def test_keep_alive_is_a_sign_of_life_and_an_empty_message_the_end() -> None:
    assert protocol().receive('{"type": "KeepAlive"}') == [Alive()]
    assert protocol().receive(b"") == [End()]


@pytest.mark.parametrize("message", ["hello", "[1]", "{}", '{"type": "Dance"}', '{"type": 7}'])
def test_a_text_that_is_not_understood_is_told_and_the_stream_goes_on(message: str) -> None:
    made = protocol()
    error = reply(made, message)
    assert (error["type"], error["variant"], error["message"]) == ("Error", "SchemaError", message)
    assert made.receive('{"type": "CloseStream"}') == [End()]


def test_configure_is_answered() -> None:
    assert reply(protocol(), '{"type": "Configure"}') == {"type": "ConfigureSuccess", "request_id": "abcd"}
    failure = reply(protocol(), '{"type": "Configure", "keyterms": ["Nauen"]}')
    assert (failure["type"], failure["code"]) == ("ConfigureFailure", "CONFIGURE_KEYTERMS_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("code", "close", "name"), [(4408, 1011, "NET-0001"), (1007, 1008, "DATA-0000"), (1011, 1011, "NET-0000")]
)
def test_a_failure_has_their_close_code_and_name(code: int, close: int, name: str) -> None:
    made = protocol()
    assert made.closing(code, "because") == (close, f"{name}: because")
    (error,) = told(made, Failure(code, "because"))
    assert (error["type"], error["variant"], error["description"]) == ("Error", name, "because")


def spoken(segment: int, start_ms: float, end_ms: float, at_ms: float, final: bool) -> Caption:
    return Caption(
        source_ms=at_ms, compute_ms=0.0, lang="en", segment=segment, revision=0, stable="hello", unstable="",
        start_ms=start_ms, end_ms=end_ms, final=final, spans_ms=((start_ms, end_ms),),
    )  # fmt: skip


@pytest.mark.parametrize("every_ms", [20, 100, 250, 1000, 3000])
def test_a_pause_between_two_utterances_is_told_before_the_next_begins_at_any_message_size(every_ms: int) -> None:
    made = protocol(vad_events=True, utterance_end_ms=1000)
    captions = [spoken(0, 8000, 9280, 9900, True), spoken(1, 10_400, 11_000, 10_900, False)]
    captions += [spoken(1, 10_400, 11_000, 11_900, True)]
    events: list[dict[str, Any]] = []
    for now_ms in range(every_ms, 15_000, every_ms):
        while captions and captions[0].source_ms <= now_ms:
            events += told(made, captions.pop(0))
        events += told(made, acknowledged(now_ms))
    assert [event["type"] for event in events] == [
        "SpeechStarted", "Results", "UtteranceEnd", "SpeechStarted", "Results", "UtteranceEnd",
    ]  # fmt: skip
    assert [event["last_word_end"] for event in events if event["type"] == "UtteranceEnd"] == [9.28, 11.0]
    assert [event["channel"] for event in events if event["type"] == "SpeechStarted"] == [[0, 1], [0, 1]]


def test_a_shorter_pause_than_asked_for_is_no_end() -> None:
    made = protocol(utterance_end_ms=1500)
    events = told(made, spoken(0, 8000, 9280, 9900, True), acknowledged(9900), spoken(1, 10_400, 11_000, 10_900, False))
    assert [event["type"] for event in events] == ["Results"]


def test_keyterms_keywords_and_a_glossary_are_terms_of_the_session() -> None:
    query = {"encoding": "linear16", "sample_rate": "16000"}
    extras = ["translate:de", "glossary:box=Kiste", "glossary:new york=New York"]
    wishes = read_query(query, extras, "en", ("de",), ["metformin", "new york"], ["Okafor:2.5", "ratio 3:1 mix"])
    assert dict(wishes.terms) == {
        "metformin": "", "new york": "New York", "Okafor": "", "ratio 3:1 mix": "", "box": "Kiste",
    }  # fmt: skip
    made = DeepgramProtocol(wishes, Settings(target="de", latency="medium"), 1000)
    assert made.settings.glossary == wishes.terms
    with pytest.raises(ProtocolError, match="extra: 'colour'; allowed: translate:LANGUAGE, glossary:SOURCE=TARGET"):
        read_query(query, ["colour:red"], "en", ("de",))


def test_terms_that_cannot_be_used_are_told_in_a_warning() -> None:
    made = DeepgramProtocol(Wishes("linear16", 16_000, terms=(("!?", ""), ("box", ""))), Settings(target="de"), 1000)
    made.render(WELCOME, 0.0)
    (warning,) = told(made, Configured(made.settings, 320, 1, (LeftOut(1, "!?", "it has no letter"),)))
    assert (warning["type"], warning["code"]) == ("Warning", "KEYTERMS_LEFT_OUT")
    assert warning["description"] == "1 of 2 terms cannot be used as they are: '!?': it has no letter"
