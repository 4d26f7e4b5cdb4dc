"""Sessions that outlive their node: two nodes and a real store; nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Wire
from returning import hello, messages, opened, take
from serving import CALM, PATIENCE_S, hear_out, pieces, running, told, words_of
from stores import free_port, store_server
from websockets.asyncio.client import ClientConnection

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.client.outgoing import Outgoing
from streamst.events import Speech, Words
from streamst.pipeline import Pipeline
from streamst.server.app import prepare
from streamst.server.operator.options import ServerOptions
from streamst.server.store.sealed import Seal
from streamst.server.store.valkey import ValkeyStore
from streamst.server.wire.native import unpack_audio
from streamst.server.wire.seam import Acknowledged, Settings

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
END = '{"type":"end"}'
OFTEN: dict[str, Any] = {"snapshot_s": 0.01}


@pytest.fixture(scope="module")
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """Some seconds of real English, as 16-bit samples can say it."""
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[16_000 : 16_000 * 6]))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_server(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(scope="module")
def nodes(pipeline: Pipeline, store: str) -> Iterator[tuple[str, str]]:
    with running(pipeline, store=store, **OFTEN) as one, running(pipeline, store=store, **OFTEN) as other:
        yield one, other


@pytest.fixture(scope="module")
def alone(pipeline: Pipeline, speech: Pcm) -> list[str]:
    """The words of the uninterrupted talk."""
    session = pipeline.session(latency="medium")
    events = [*[event for piece in pieces(speech) for event in session.push(piece)], *session.finish()]
    return [word for _, _, words in words_of(events) for word in words]


async def heard(socket: ClientConnection, sequence: int) -> list[dict[str, Any]]:
    """What is said until audio message `sequence` is heard."""
    said: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not said or said[-1]["type"] != "ack" or said[-1]["sequence"] < sequence:
            message = await socket.recv()
            said += [json.loads(message)] if isinstance(message, str) else []
    return said


async def kept(socket: ClientConnection, sent: list[bytes], least: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Send messages until audio up to message `least` is safe: what is said meanwhile, and how many that took."""
    said: list[dict[str, Any]] = []
    for count, message in enumerate(sent, 1):
        await socket.send(message)
        audio = unpack_audio(message)
        assert audio is not None
        said += await heard(socket, audio.sequence)
        if said[-1]["kept"] >= least:
            return said, count
        await asyncio.sleep(0.03)
    raise AssertionError(f"of {len(sent)} messages, number {least} was not kept")


async def kept_silence(socket: ClientConnection) -> int:
    """Say nothing for so long that some of it is safe; how many messages that took."""
    return (await kept(socket, messages(from_pcm16(bytes(2 * 160_000)))))[1]


def words(said: list[dict[str, Any]]) -> list[str]:
    return [word for message in told(said, "words") for word in message["words"]]


def test_another_node_goes_on_in_mid_word_and_says_only_what_is_missing(
    nodes: tuple[str, str], speech: Pcm, alone: list[str]
) -> None:
    sent = messages(speech)
    config = json.dumps({"type": "config", "latency": "medium"})

    async def move() -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]], int | None]:
        async with opened(nodes[0]) as socket:
            first = await take(socket, "welcome")
            await socket.send(config)
            before, count = await kept(socket, sent, 12)
            for message in sent[count : count + 5]:
                await socket.send(message)
            before += await heard(socket, count + 4)
            socket.transport.abort()
        async with opened(nodes[1], first["resume_token"]) as socket:
            await socket.send(hello(first, before[-1]["n"]))
            again = await take(socket, "welcome")
            for message in sent[again["next_sequence"] :]:
                await socket.send(message)
            await socket.send(END)
            return before, again, *await hear_out(socket)

    before, again, after, code = asyncio.run(move())
    assert code == 1000
    assert again["resumed"]
    assert again["next_sequence"] >= before[-1]["kept"] + 1
    assert again["configs"] == 1
    numbers = [message["n"] for message in after if "n" in message]
    assert numbers == list(range(before[-1]["n"] + 1, before[-1]["n"] + 1 + len(numbers)))
    assert words(before) + words(after) == alone
    assert after[-1]["summary"]["samples"] == len(speech)
    assert after[-1]["summary"]["words"] == len(alone)


class Ear:
    """A client that believes what it is told: each number once."""

    def __init__(self) -> None:
        self.last = self._announced = 0
        self.words: list[str] = []
        self.heard = b""

    async def listen(self, socket: ClientConnection, sequence: int, until: str) -> None:
        """Until the message of this type, an `ack` being of audio message `sequence`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await socket.recv()
                if isinstance(message, bytes):
                    self.heard += message[12:]
                    self.last = self._announced
                    continue
                fields = json.loads(message)
                if fields["type"] == "speech":
                    self._announced = fields["n"]
                elif "n" in fields:
                    assert fields["n"] == self.last + 1
                    self.last = fields["n"]
                self.words += fields.get("words", []) if fields["type"] == "words" else []
                if fields["type"] == until and fields.get("sequence", sequence) >= sequence:
                    return


def test_a_talk_that_changes_nodes_again_and_again_is_the_talk_that_stayed(
    nodes: tuple[str, str], pipeline: Pipeline, speech: Pcm, alone: list[str]
) -> None:
    sent = messages(speech)

    async def wander() -> tuple[list[str], bytes]:
        ear = Ear()
        token = ""
        for turn in range(8):
            async with opened(nodes[turn % 2], *([token] if token else [])) as socket:
                if token:
                    await socket.send(json.dumps({"type": "hello", "resume_token": token, "last_sequence": ear.last}))
                welcome = await take(socket, "welcome")
                if not welcome["configs"]:
                    await socket.send('{"type":"config","latency":"medium"}')
                token, begin = welcome["resume_token"], welcome["next_sequence"]
                until = len(sent) if turn == 7 else begin + 7
                for message in sent[begin:until]:
                    await socket.send(message)
                if turn == 7:
                    await socket.send(END)
                await ear.listen(socket, until - 1, "closed" if turn == 7 else "ack")
                socket.transport.abort()
        return ear.words, ear.heard

    session = pipeline.session(latency="medium")
    events = [*[event for piece in pieces(speech) for event in session.push(piece)], *session.finish()]
    spoken = b"".join(to_pcm16(event.pcm) for event in events if isinstance(event, Speech))
    said, heard = asyncio.run(wander())
    assert said == alone
    assert heard == spoken


def test_what_another_node_hears_again_gives_credit_though_all_that_is_said_of_it_came_before(
    pipeline: Pipeline, store: str, speech: Pcm, alone: list[str]
) -> None:
    """Nothing is kept after the beginning, and less audio may be on its way than is heard a second time."""
    rare: dict[str, Any] = {"snapshot_s": 1000.0, "credit_s": 1.0, "idle_s": 20.0}

    async def talk(cable: Wire, other: str) -> tuple[list[str], list[int]]:
        said: list[str] = []
        acks: list[int] = []
        one = f"http://127.0.0.1:{cable.port}"
        async for event in stream([one, other], pieces(speech), Settings(latency="medium")):
            said += event.words if isinstance(event, Words) else []
            acks += [event.sequence] if isinstance(event, Acknowledged) else []
            if isinstance(event, Acknowledged) and len(acks) == 30:
                cable.pull()
        return said, acks

    with running(pipeline, store=store, **rare) as one, running(pipeline, store=store, **rare) as other:
        cable = Wire(int(one.rpartition(":")[2]))
        said, acks = asyncio.run(talk(cable, other))
        cable.close()
    assert said == alone
    back = next(at for at, sequence in enumerate(acks[1:], 1) if sequence <= acks[at - 1])
    assert acks[back] < 20 < acks[back - 1]
    assert acks[back:] == sorted(acks[back:])
    assert acks[-1] == len(pieces(speech)) - 1


def test_of_two_nodes_the_older_one_stops(nodes: tuple[str, str]) -> None:
    async def both() -> tuple[int | None, list[dict[str, Any]]]:
        async with opened(nodes[0]) as old:
            first = await take(old, "welcome")
            await kept_silence(old)
            async with opened(nodes[1], first["resume_token"]) as new:
                await new.send(hello(first))
                await take(new, "welcome")
                said, code = await hear_out(old)
                return code, said

    code, said = asyncio.run(both())
    assert code == 4409
    assert "another node" in told(said, "error")[0]["message"]


def test_a_node_that_stops_hands_its_talks_over_and_our_client_goes_on(
    pipeline: Pipeline, store: str, speech: Pcm, alone: list[str]
) -> None:
    """The first node drains in mid-talk: nobody who listens notices."""
    settings = Settings(latency="medium")

    async def talk(one: str, other: str, stop: Callable[[], None] | None) -> list[str]:
        said: list[str] = []
        async for event in stream([one, other], pieces(speech), settings, realtime=True):
            said += event.words if isinstance(event, Words) else []
            if len(said) >= 2 and stop is not None:
                stop()
                stop = None
        return said

    with running(pipeline, store=store) as other:
        server, listener, address = prepare(pipeline, ServerOptions(port=0, store=store, **CALM))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        said = asyncio.run(talk(address, other, lambda: server.handle_exit(signal.SIGTERM, None)))
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        listener.close()
    assert said == alone


def test_without_a_store_nothing_is_kept_and_with_one_the_end_is_forgotten(
    pipeline: Pipeline, nodes: tuple[str, str], store: str, speech: Pcm
) -> None:
    async def once(address: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with opened(address) as socket:
            welcome = await take(socket, "welcome")
            await socket.send(messages(speech)[0])
            await socket.send(END)
            said, _ = await hear_out(socket)
            return welcome, said

    async def left(session_id: str) -> bool:
        found = ValkeyStore(store)
        async with asyncio.timeout(PATIENCE_S):
            while await found.read(session_id) is not None:
                await asyncio.sleep(0.02)
        await found.close()
        return False

    with running(pipeline) as plain:
        _, said = asyncio.run(once(plain))
        assert "kept" not in told(said, "ack")[0]
    welcome, said = asyncio.run(once(nodes[0]))
    assert "kept" in told(said, "ack")[0]
    assert not asyncio.run(left(welcome["session_id"]))


def refusal(address: str, token: str, last: int = 0) -> tuple[int | None, str]:
    async def come() -> tuple[int | None, str]:
        async with opened(address, token) as socket:
            await socket.send(json.dumps({"type": "hello", "resume_token": token, "last_sequence": last}))
            said, code = await hear_out(socket)
            return code, told(said, "error")[0]["message"] if told(said, "error") else ""

    return asyncio.run(come())


def test_who_has_not_the_token_does_not_get_the_session_and_does_not_disturb_it(nodes: tuple[str, str]) -> None:
    async def guess() -> tuple[list[int | None], int, dict[str, Any]]:
        codes: list[int | None] = []
        async with opened(nodes[0]) as socket:
            first = await take(socket, "welcome")
            count = await kept_silence(socket)
            for token in (f"{first['session_id']}.guessed", "nobody.guessed", ".x", "a/b.c", "x" * 5000 + ".y"):
                async with opened(nodes[1]) as other:
                    await take(other, "welcome")
                    await other.send(json.dumps({"type": "hello", "resume_token": token}))
                    codes.append((await hear_out(other))[1])
            await socket.send(messages(from_pcm16(bytes(3200)), first=count)[0])
            return codes, count, await take(socket, "ack")

    codes, count, ack = asyncio.run(guess())
    assert codes == [4401] * 5
    assert ack["sequence"] == count


@pytest.mark.parametrize("damage", ["foreign", "old", "flipped", "unsigned", "empty"])
def test_a_value_that_cannot_be_read_is_told_in_words(nodes: tuple[str, str], store: str, damage: str) -> None:
    async def begin() -> dict[str, Any]:
        async with opened(nodes[0]) as socket:
            first = await take(socket, "welcome")
            await kept_silence(socket)
            socket.transport.abort()
            found = ValkeyStore(store)
            entry = await found.read(first["session_id"])
            assert entry is not None
            values = {
                "foreign": b"\x80\x04}", "old": b"SST\x00" + entry.body[4:], "flipped": entry.body[:-9] + b"\xa5" * 9,
                "unsigned": Seal("a key of sixteen characters").close("body/x", b"x"), "empty": b"",
            }  # fmt: skip
            await found.write(first["session_id"], "x", entry.epoch + 1, 60.0, body=values[damage])
            await found.close()
            return first

    first = asyncio.run(begin())
    code, message = refusal(nodes[1], first["resume_token"])
    assert code == 4410
    assert "cannot go on" in message


def test_a_store_that_is_down_stops_no_talk_and_one_that_comes_back_keeps_it(
    pipeline: Pipeline, tmp_path: Path, speech: Pcm, alone: list[str]
) -> None:
    port = free_port()
    sent = messages(speech)

    async def talk(address: str) -> tuple[list[dict[str, Any]], int | None, int | None]:
        """From before there is a store until after it is gone again."""
        async with opened(address) as socket:
            welcome = await take(socket, "welcome")
            await socket.send('{"type":"config","latency":"medium"}')
            for message in sent[:10]:
                await socket.send(message)
            said = await heard(socket, 9)
            assert said[-1]["kept"] == -1
            with store_server(tmp_path, port):
                more, count = await kept(socket, sent[10:], 10)
                said += more
            async with opened(address, welcome["resume_token"] + "x") as other:
                _, refused = await hear_out(other)
            for message in sent[10 + count :]:
                await socket.send(message)
            await socket.send(END)
            rest, code = await hear_out(socket)
            return said + rest, code, refused

    with running(pipeline, store=f"valkey://127.0.0.1:{port}/0", **OFTEN) as address:
        said, code, refused = asyncio.run(talk(address))
    assert (code, refused) == (1000, 1013)
    assert words(said) == alone


def test_a_client_holds_what_is_heard_and_not_kept_and_gives_credit_for_what_is_heard() -> None:
    async def check() -> None:
        outgoing = Outgoing()
        outgoing.grant(300.0)
        for number in range(6):
            await outgoing.put("audio", f"a{number}", 100.0)
        sent: list[str | bytes] = []
        for _ in range(3):
            sent.append((await outgoing.next()).message)
            outgoing.sent()
        outgoing.heard(2, -1)
        sent.append((await outgoing.next()).message)
        outgoing.sent()
        outgoing.resume(0, 0, False)
        assert (await outgoing.next()).message == "a0"
        outgoing.resume(4, 0, False)
        outgoing.heard(3, 1)
        outgoing.resume(2, 0, False)
        assert (await outgoing.next()).message == "a2"
        assert sent == ["a0", "a1", "a2", "a3"]

    asyncio.run(check())
