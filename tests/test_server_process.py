"""The server as its own process, begun by the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import stream
from streamst.events import Words
from streamst.server.wire.native import SUBPROTOCOL, pack_audio

SAMPLE = Path(__file__).parents[1] / "web" / "sample.flac"
PATIENCE_S = 120.0
SERVE = "from streamst.cli import main; main()"


@pytest.fixture(scope="module")
def speech() -> Pcm:
    return from_pcm16(to_pcm16(read_audio(SAMPLE)[: 16_000 * 4]))


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, as it prints it."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"https?://[\d.]+:\d+", line)
                if found:
                    yield process, found.group()
                    break
            else:
                raise AssertionError(process.stderr.read() if process.stderr else "")
        finally:
            process.kill()


async def hear_out(socket: ClientConnection) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await socket.recv()
                if isinstance(message, str):
                    said.append(json.loads(message))
    return said


async def words_heard(address: str, pcm: Pcm, **options: Any) -> list[tuple[str, ...]]:
    events = stream(address, [pcm], **options)
    return [event.words async for event in events if isinstance(event, Words)]


def opened(address: str) -> connect:
    url = address.replace("http", "ws", 1) + "/v1/stream"
    return connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None)


def test_garbage_from_one_client_leaves_the_text_of_another_as_it_is_alone(
    tiny_model: Path, speech: Pcm, tmp_path: Path
) -> None:
    config = tmp_path / "server.toml"
    config.write_text("refuse_when_busy = false\nrelieve_when_busy = false\n")
    rng = np.random.default_rng(11)

    async def vandal(address: str, done: asyncio.Event) -> set[int | None]:
        """One bad client after the other: noise of all kinds, and sudden silence."""
        codes: set[int | None] = set()
        while not done.is_set():
            noise = rng.bytes(int(rng.integers(0, 40)))
            frame = pack_audio("pcm16", 0, 0, rng.bytes(3200))
            for message in (noise, noise.hex(), frame + b"\0", '{"type":"config","target":"tlh"}', bytes(3_000_000)):
                async with opened(address) as socket:
                    with contextlib.suppress(ConnectionClosed):
                        await socket.send(frame)
                        await socket.send(message)
                        await socket.send('{"type":"end"}')
                    await hear_out(socket)
                    codes.add(socket.close_code)
            async with opened(address) as socket:
                await socket.send(frame)
                socket.transport.abort()
        return codes

    async def both(address: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], set[int | None]]:
        alone = await words_heard(address, speech)
        done = asyncio.Event()
        beside = asyncio.create_task(vandal(address, done))
        disturbed = await words_heard(address, speech, realtime=True)
        done.set()
        return alone, disturbed, await beside

    with serving("--model", str(tiny_model), "--config", str(config)) as (process, address):
        alone, disturbed, codes = asyncio.run(both(address))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert alone
    assert disturbed == alone
    assert {1007, 1009, 4400} <= codes
    assert "Traceback" not in errors
    assert process.returncode == 0


def test_on_sigterm_a_session_is_told_flushed_and_closed_and_the_exit_code_is_0(tiny_model: Path, speech: Pcm) -> None:
    async def talk(process: subprocess.Popen[str], address: str) -> tuple[list[dict[str, Any]], int | None]:
        async with opened(address) as socket:
            await socket.send(pack_audio("pcm16", 0, 0, to_pcm16(speech)))
            while json.loads(await socket.recv())["type"] != "configured":
                pass
            process.send_signal(signal.SIGTERM)
            said = await hear_out(socket)
            return said, socket.close_code

    with serving("--model", str(tiny_model)) as (process, address):
        expected = asyncio.run(words_heard(address, speech))
        said, code = asyncio.run(talk(process, address))
        process.communicate(timeout=PATIENCE_S)
    assert code == 1001
    assert process.returncode == 0
    kinds = [message["type"] for message in said]
    assert "goaway" in kinds
    assert kinds[-2:] == ["closed", "error"]
    words = [word for message in said if message["type"] == "words" for word in message["words"]]
    assert words == [word for words in expected for word in words]


def test_without_sessions_sigterm_ends_the_server_at_once(tiny_model: Path) -> None:
    with serving("--model", str(tiny_model)) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_the_shipped_model_gives_words_to_speech_and_none_to_silence_and_noise(speech: Pcm) -> None:
    noise = np.float32(0.01) * np.random.default_rng(3).standard_normal(32_000).astype(np.float32)

    async def listen(address: str) -> list[list[tuple[str, ...]]]:
        return [await words_heard(address, pcm) for pcm in (speech, np.zeros(32_000, np.float32), noise)]

    with serving() as (_, address):
        spoken, silent, noisy = asyncio.run(listen(address))
    assert spoken
    assert (silent, noisy) == ([], [])
