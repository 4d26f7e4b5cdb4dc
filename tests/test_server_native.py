"""The native protocol without a socket: message tables that the page's tests read too, and hostile bytes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamst.errors import ProtocolError
from streamst.events import Caption, Words
from streamst.server.wire.native import HEADER, NativeProtocol, pack_audio, unpack_audio
from streamst.server.wire.seam import (
    Acknowledged,
    Answer,
    Audio,
    Closed,
    Command,
    Configure,
    Configured,
    Failure,
    Flow,
    GoAway,
    Latency,
    LeftOut,
    Message,
    Offer,
    Ping,
    Pong,
    RoomState,
    Settings,
    Spoken,
    Welcome,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "protocol_vectors.json").read_text("utf-8"))
CODES = {1002, 1003, 1007, 1009, 4400}
ANSWERS: dict[str, type[Answer]] = {
    "caption": Caption,
    "words": Words,
    "spoken": Spoken,
    "acknowledged": Acknowledged,
    "pong": Pong,
    "flow": Flow,
    "roomstate": RoomState,
    "goaway": GoAway,
    "failure": Failure,
    "latency": Latency,
    "closed": Closed,
}


def by_name(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[kind]]


def message_of(vector: dict[str, Any]) -> Message:
    return vector["text"] if "text" in vector else bytes.fromhex(vector["hex"])


def plain(command: Command) -> dict[str, Any]:
    fields = dataclasses.asdict(command)
    if isinstance(command, Audio):
        fields["payload"] = command.payload.hex()
    if isinstance(command, Configure):
        terms = [list(pair) for pair in command.settings.glossary]
        fields = {**fields["settings"], "output": list(command.settings.output), "glossary": terms}
    return {type(command).__name__.lower(): fields}


def answer_of(vector: dict[str, Any]) -> Answer:
    ((name, fields),) = vector["answer"].items()
    if name == "spoken":
        fields = {**fields, "payload": bytes.fromhex(fields["payload"])}
    if name == "words":
        fields = {**fields, "words": tuple(fields["words"]), "aligned_ms": tuple(fields["aligned_ms"])}
    return ANSWERS[name](**fields)


@pytest.mark.parametrize("vector", by_name("audio"))
def test_an_audio_message_has_the_bytes_of_the_table(vector: dict[str, Any]) -> None:
    payload = np.array(vector["samples"], "<i2").tobytes()
    packed = pack_audio(vector["codec"], vector["sequence"], vector["media_time_samples"], payload)
    assert packed == bytes.fromhex(vector["hex"])
    assert unpack_audio(packed) == Audio(vector["codec"], vector["sequence"], vector["media_time_samples"], payload)


@pytest.mark.parametrize("vector", [v for v in by_name("client") if "commands" in v.values[0]])
def test_a_client_message_means_the_commands_of_the_table(vector: dict[str, Any]) -> None:
    assert [plain(command) for command in NativeProtocol().receive(message_of(vector))] == vector["commands"]


@pytest.mark.parametrize("vector", [v for v in by_name("client") if "error" in v.values[0]])
def test_a_wrong_client_message_earns_the_close_code_of_the_table(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        NativeProtocol().receive(message_of(vector))
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", by_name("server"))
def test_an_answer_is_said_in_the_words_of_the_table(vector: dict[str, Any]) -> None:
    said = NativeProtocol().render(answer_of(vector), vector["emit_ms"])
    assert len(said) == len(vector["messages"])
    for message, expected in zip(said, vector["messages"], strict=True):
        if "hex" in expected:
            assert message == bytes.fromhex(expected["hex"])
        else:
            assert json.loads(message) == expected["text"]


def test_every_kind_of_answer_stands_in_the_table() -> None:
    told = {name for vector in VECTORS["server"] for name in vector["answer"]}
    assert told == set(ANSWERS)


def test_welcome_and_configured_say_what_is_on_offer_and_what_holds() -> None:
    protocol = NativeProtocol()
    (welcome,) = protocol.render(Welcome("ab12", Offer(targets=("de",)), {"speed": 2.0}), 0.0)
    told = {"type": "welcome", "protocol": "streamst.v1", "session_id": "ab12"}
    offered = json.loads(json.dumps(dataclasses.asdict(Offer(targets=("de",)))))
    assert json.loads(welcome) == {**told, **offered, "limits": {"speed": 2.0}}
    assert json.loads(welcome)["targets"] == ["de"]
    (configured,) = protocol.render(Configured(Settings(target="de", latency="low"), 320), 0.0)
    assert json.loads(configured)["target"] == "de"
    assert json.loads(configured)["chunk_ms"] == 320


def test_an_error_names_the_value_and_what_is_allowed() -> None:
    with pytest.raises(ProtocolError, match=r"config.codec: 'mp3'.*pcm16, opus, neural"):
        NativeProtocol().receive('{"type":"config","codec":"mp3"}')
    with pytest.raises(ProtocolError, match=r"unknown key 'langauge'; allowed: .*target"):
        NativeProtocol().receive('{"type":"config","langauge":"de"}')


def test_audio_messages_count_from_any_number_and_wrap() -> None:
    protocol = NativeProtocol()
    for sequence in (2**32 - 2, 2**32 - 1, 0, 1):
        (command,) = protocol.receive(pack_audio("pcm16", sequence, 0, b"\0\0"))
        assert isinstance(command, Audio)
        assert command.sequence == sequence % 2**32


@pytest.mark.parametrize("sequence", [7, 9, 5])
def test_an_audio_message_out_of_turn_is_refused(sequence: int) -> None:
    protocol = NativeProtocol()
    protocol.receive(pack_audio("pcm16", 7, 0, b"\0\0"))
    with pytest.raises(ProtocolError, match=f"message {sequence} came where 8 belongs") as caught:
        protocol.receive(pack_audio("pcm16", sequence, 0, b"\0\0"))
    assert caught.value.code == 4400


def test_neural_audio_is_taken_once_the_config_says_so() -> None:
    protocol = NativeProtocol()
    protocol.receive('{"type":"config","codec":"neural"}')
    (command,) = protocol.receive(pack_audio("neural", 0, 0, b"odd"))
    assert command == Audio("neural", 0, 0, b"odd")
    with pytest.raises(ProtocolError, match="audio came as pcm16; the config says codec neural"):
        protocol.receive(pack_audio("pcm16", 1, 0, b"\0\0"))


def test_a_text_message_over_the_limit_is_too_big() -> None:
    with pytest.raises(ProtocolError, match="may have 10 bytes; this one has 14") as caught:
        NativeProtocol(max_text_bytes=10).receive('{"type":"end"}')
    assert caught.value.code == 1009


def test_json_nested_past_all_reason_is_bad_data() -> None:
    with pytest.raises(ProtocolError) as caught:
        NativeProtocol().receive("[" * 60_000)
    assert caught.value.code == 1007


def test_half_a_surrogate_pair_can_be_repeated_to_the_client() -> None:
    protocol = NativeProtocol()
    (ping,) = protocol.receive('{"type":"ping","id":"\\ud800"}')
    assert isinstance(ping, Ping)
    (pong,) = protocol.render(Pong(ping.id, 0.0), 0.0)
    assert isinstance(pong, str)
    assert json.loads(pong.encode())["id"] == "\ud800"


def test_speech_messages_are_numbered_one_after_the_other() -> None:
    protocol = NativeProtocol()
    spoken = Spoken("pcm16", b"\0\0", 1, 16_000, "", 0.0, 0.0, 0)
    numbers = []
    for _ in range(3):
        announced, sent = protocol.render(spoken, 0.0)
        assert isinstance(sent, bytes)
        assert json.loads(announced)["sequence"] == HEADER.unpack_from(sent)[3]
        numbers.append(HEADER.unpack_from(sent)[3])
    assert numbers == [0, 1, 2]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["target", "output", "codec", "sample_rate_hz", "id", "rtt_ms", "latency", "playback_ms"])


@given(st.binary(max_size=40))
def test_no_bytes_do_more_than_earn_a_close_code(message: bytes) -> None:
    receive_or_refuse(message)


@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_no_text_does_more_than_earn_a_close_code(message: str) -> None:
    receive_or_refuse(message)


@given(st.sampled_from(["config", "ping", "end", "audio", "hello"]), st.dictionaries(FIELDS, JSON, max_size=3))
def test_no_fields_do_more_than_earn_a_close_code(kind: str, fields: dict[str, Any]) -> None:
    receive_or_refuse(json.dumps({**fields, "type": kind}))


def receive_or_refuse(message: Message) -> None:
    refused: ProtocolError | None = None
    commands: list[Command] = []
    try:
        commands = NativeProtocol().receive(message)
    except ProtocolError as error:
        refused = error
    assert len(commands) <= 1
    assert refused is None or (refused.code in CODES and str(refused))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (7, "config.glossary: int is no list"),
        ("box", "config.glossary: str is no list"),
        ([["a", "b", "c"]], r"config.glossary\[0\]: .* is no \[source, target\] pair"),
        (["box", [1, "b"]], r"config.glossary\[1\]: \[1, 'b'\] is no"),
        ({"box": 5}, r"config.glossary\[0\]: the target 5 is no text"),
    ],
)
def test_a_glossary_of_another_shape_is_named(given: object, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        NativeProtocol().receive(json.dumps({"type": "config", "glossary": given}))


def test_the_terms_that_are_left_out_are_told_and_the_others_counted() -> None:
    many = tuple(LeftOut(n, "b" * 300, "it is too long") for n in range(1, 31))
    settings = Settings(target="de", glossary=(("box", "Kiste"),) * 40)
    (message,) = NativeProtocol().render(Configured(settings, 320, terms=10, left_out=many), 0.0)
    assert isinstance(message, str)
    told = json.loads(message)
    assert (told["target"], told["chunk_ms"]) == ("de", 320)
    assert (told["glossary"]["used"], told["glossary"]["left_out"]) == (10, 30)
    assert told["glossary"]["reasons"][0] == {"entry": 1, "source": "b" * 100, "reason": "it is too long"}
    assert len(told["glossary"]["reasons"]) == 20
