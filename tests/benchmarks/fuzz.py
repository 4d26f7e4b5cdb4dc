"""Hostile input: `python tests/benchmarks/fuzz.py [--messages 100000] [--minutes 10] [--seed 1]`.

First the decoders without a socket: good messages of every wire protocol, each broken in several ways (bits turned,
pieces cut out, doubled and swapped, numbers made huge, keys and values exchanged), so many of them for each. A decoder
may answer or refuse (ProtocolError with one of the documented codes); anything else is a bug and is printed with the
message. As many codec packets, broken likewise, half of them with a check sum that is right again. Then noise on raw
sockets against a real server of its own, for so long: HTTP that is none, handshakes that are cut, frames with
impossible lengths, masks and opcodes, and good frames around bad messages. At the end the server must serve a stream,
have all its places free and as many file descriptors as before, and have written no traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from streamst.client import stream
from streamst.codecs import bitstream, opus
from streamst.errors import InputError, ProtocolError
from streamst.server.foreign.deepgram import DeepgramProtocol, read_query
from streamst.server.foreign.openai_transcription import OpenAITranscription
from streamst.server.foreign.openai_translation import OpenAITranslation
from streamst.server.foreign.simulstream import SimulstreamProtocol
from streamst.server.wire import codes
from streamst.server.wire.native import NativeProtocol, pack_audio
from streamst.server.wire.seam import Settings, WireProtocol

SERVE = "from streamst.cli import main; main()"
LIMIT = 1 << 16
Message = str | bytes

PCM = "AAAA" * 40
GOOD: dict[str, list[Message]] = {
    "native": [
        '{"type":"hello","resume_token":"abc","last_sequence":3}',
        '{"type":"config","target":"de","latency":"low","output":["captions"],"codec":"pcm16","sample_rate_hz":16000}',
        '{"type":"ping","id":7,"rtt_ms":12.5,"playback_ms":80,"last_sequence":2}',
        '{"type":"end"}',
        pack_audio("pcm16", 0, 0, bytes(320)),
        pack_audio("neural", 1, 320, b"\xc5\x01\x01\x05\x00" + bytes(30)),
    ],
    "openai translation": [
        '{"type":"session.update","session":{"audio":{"output":{"language":"de"}}}}',
        f'{{"type":"session.input_audio_buffer.append","audio":"{PCM}"}}',
        '{"type":"session.close"}',
    ],
    "openai transcription": [
        '{"type":"session.update","session":{"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm",'
        '"rate":24000},"transcription":{"language":"en","delay":"low"},"turn_detection":null}}}}',
        f'{{"type":"input_audio_buffer.append","audio":"{PCM}"}}',
        '{"type":"input_audio_buffer.commit"}',
        '{"type":"input_audio_buffer.clear"}',
    ],
    "deepgram": ['{"type":"KeepAlive"}', '{"type":"Finalize"}', '{"type":"CloseStream"}', bytes(640)],
    "simulstream": [
        '{"sample_rate":16000}',
        '{"source_lang":"en","target_lang":"de"}',
        '{"end_of_stream":true}',
        bytes(640),
    ],
}


def make(name: str) -> WireProtocol:
    """A fresh decoder."""
    defaults = Settings(target="de", latency="medium")
    match name:
        case "native":
            return NativeProtocol(LIMIT)
        case "openai translation":
            return OpenAITranslation("en-de", defaults, 0, 1 << 20, None)
        case "openai transcription":
            return OpenAITranscription(defaults, 0, 1 << 20, None)
        case "deepgram":
            wishes = read_query({"encoding": "linear16", "sample_rate": "16000"}, [], "en", ("de",))
            return DeepgramProtocol(wishes, defaults, LIMIT)
        case _:
            return SimulstreamProtocol(defaults, LIMIT)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """`data`, broken."""
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(broken) + 1)
        match rng.randrange(6):
            case 0 if broken:
                broken[at % len(broken)] ^= 1 << rng.randrange(8)
            case 1:
                del broken[at : at + rng.randint(1, 20)]
            case 2:
                broken[at:at] = rng.randbytes(rng.randint(1, 20))
            case 3:
                broken[at:at] = broken[: rng.randint(0, len(broken))]
            case 4:
                del broken[at:]
            case _:
                broken[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
    return bytes(broken)


def strange(rng: random.Random) -> Any:
    """A JSON value that nobody expects."""
    return rng.choice(
        (None, True, False, 0, -1, 1e308, 2**64, -(2**63), "", "\ud800", "\0", "x" * 500, [], {}, [[[[]]]], {"a": {}})
    )


def mutate_object(text: str, rng: random.Random) -> str:
    """The JSON object `text` with keys and values exchanged, missing, doubled or strange."""
    fields = json.loads(text)
    places: list[dict[str, Any]] = [fields]
    while places and rng.random() < 0.6:
        inner = [value for value in places[-1].values() if isinstance(value, dict)]
        if not inner:
            break
        places.append(rng.choice(inner))
    place = places[-1]
    key = rng.choice([*place, "surprise"])
    match rng.randrange(4):
        case 0:
            place[key] = strange(rng)
        case 1:
            place.pop(key, None)
        case 2:
            place[str(strange(rng))[:50]] = place.get(key)
        case _:
            place[key] = [place.get(key)] * rng.randint(0, 3)
    return json.dumps(fields)


def mutate(message: Message, rng: random.Random) -> Message:
    """A broken message, of the other kind now and then."""
    if isinstance(message, bytes):
        broken = mutate_bytes(message, rng)
        return broken if rng.random() < 0.95 else broken.decode("latin-1")
    if rng.random() < 0.5:
        return mutate_object(message, rng)
    broken = mutate_bytes(message.encode(), rng)
    return broken.decode("utf-8", errors="surrogateescape" if rng.random() < 0.1 else "replace")


def decoders(count: int, rng: random.Random) -> bool:
    """`count` broken messages on each decoder; whether all went well."""
    well = True
    for name, good in GOOD.items():
        seen: Counter[str] = Counter()
        protocol, began_s = make(name), time.perf_counter()
        for _ in range(count):
            message = mutate(rng.choice(good), rng)
            if rng.random() < 0.05:
                protocol = make(name)
            try:
                protocol.receive(message)
                seen["taken"] += 1
            except ProtocolError as error:
                known = error.code in codes.MEANINGS
                seen[f"refused {error.code}"] += 1
                well &= known
                if not known:
                    print(f"{name}: undocumented code {error.code} for {message!r}")
                protocol = make(name)
            except Exception as error:  # noqa: BLE001  (what it looks for)
                well = False
                seen[type(error).__name__] += 1
                if seen[type(error).__name__] <= 3:
                    print(f"{name}: {type(error).__name__}: {error} for {message!r}")
        rate = count / (time.perf_counter() - began_s)
        print(f"{name}: {count} messages ({rate:.0f} a second): {dict(seen.most_common())}", flush=True)
    return well


def packets(count: int, rng: random.Random) -> bool:
    """`count` broken packets on each codec's reader; whether each was read or refused as what it is."""
    codes_of = np.random.default_rng(1).integers(0, 1024, (5, 4))
    neural = [bitstream.pack(bitstream.Packet(codes_of, 7)), bitstream.pack(bitstream.Packet(codes_of[:1, :2], 65_535))]
    encoder = opus.OpusCodec().encoder()
    coded = encoder.push(np.sin(np.arange(16_000) / 20).astype(np.float32)) + encoder.flush()
    well = True
    for name, good, read in (
        ("neural packets", neural, bitstream.unpack_all),
        ("Opus packets", [coded[start:end] for start, end, _ in opus.spans(coded)], opus.unpack_one),
    ):
        seen: Counter[str] = Counter()
        for _ in range(count):
            packet = mutate_bytes(rng.choice(good), rng)
            if rng.random() < 0.5:
                packet = packet[:-4] + zlib.crc32(packet[:-4]).to_bytes(4, "little")
            try:
                read(packet)
                seen["read"] += 1
            except InputError:
                seen["refused"] += 1
            except Exception as error:  # noqa: BLE001  (what it looks for)
                well = False
                seen[type(error).__name__] += 1
                print(f"{name}: {type(error).__name__}: {error} for {packet!r}")
        print(f"{name}: {count} packets: {dict(seen.most_common())}", flush=True)
    return well


def frame(rng: random.Random, payload: bytes, opcode: int) -> bytes:
    """A websocket frame, right or wrong in its header."""
    first = 0x80 | opcode if rng.random() < 0.8 else rng.randrange(256)
    size = len(payload) if rng.random() < 0.9 else rng.choice((0, 1, 1 << 20, 1 << 40, (1 << 64) - 1))
    head = bytes([first])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    mask = rng.randbytes(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


PATHS = (
    "/v1/stream",
    "/v1/listen?encoding=linear16&sample_rate=16000",
    "/simulstream",
    "/v1/realtime?intent=transcription",
)


def noise(port: int, rng: random.Random) -> None:
    """One connection of nonsense."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(1.0)
        if rng.random() < 0.3:
            request = f"{rng.choice(('GET', 'POST', 'BREW'))} {rng.choice(PATHS)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            client.sendall(rng.randbytes(rng.randint(1, 2000)) if rng.random() < 0.5 else mutate_bytes(request, rng))
            with contextlib.suppress(TimeoutError):
                client.recv(4096)
            return
        upgrade = (
            f"GET {rng.choice(PATHS)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()
        client.sendall(upgrade if rng.random() < 0.9 else mutate_bytes(upgrade, rng))
        with contextlib.suppress(TimeoutError):
            client.recv(4096)
        everything = [message for good in GOOD.values() for message in good]
        for _ in range(rng.randint(0, 12)):
            message = rng.choice(everything)
            message = mutate(message, rng) if rng.random() < 0.5 else message
            data = message if isinstance(message, bytes) else message.encode(errors="replace")
            opcode = 2 if isinstance(message, bytes) else 1
            client.sendall(frame(rng, data, opcode if rng.random() < 0.9 else rng.randrange(16)))
        if rng.random() < 0.5:
            with contextlib.suppress(TimeoutError):
                client.recv(4096)


def ask(port: int, path: str) -> bytes:
    """The body of a GET."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer.partition(b"\r\n\r\n")[2]


async def served(port: int) -> str:
    """What a good stream ends with."""
    last = ""
    async for event in stream(f"ws://127.0.0.1:{port}", [np.zeros(1600, np.float32)] * 10):
        last = type(event).__name__
    return last


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.1)
    return True


def sockets(minutes: float, rng: random.Random, options: Path) -> bool:
    """Noise on a server's port; whether it came out well."""
    options.write_text("park_s = 1.0\naddress_rate = 0\n")
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--config", str(options)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = process.stdout.readline()
                if not line:
                    said.seek(0)
                    raise SystemExit(f"the server did not start: {said.read()}")
                found = re.search(r"https?://[\d.]+:(\d+)", line)
            port = int(found.group(1))
            asyncio.run(served(port))
            files, statm = Path(f"/proc/{process.pid}/fd"), Path(f"/proc/{process.pid}/statm")
            fds_before, rss_before = len(os.listdir(files)), int(statm.read_text().split()[1]) / 256
            connections, ends_s = 0, time.monotonic() + 60 * minutes
            while time.monotonic() < ends_s:
                noise(port, rng)
                connections += 1
            free = until(lambda: json.loads(ask(port, "/healthz"))["sessions"] == 0, 30)
            time.sleep(3)
            last = asyncio.run(served(port))
            closed = until(lambda: len(os.listdir(files)) <= fds_before + 2, 30)
            fds, rss = len(os.listdir(files)), int(statm.read_text().split()[1]) / 256
        finally:
            process.terminate()
            process.wait(60)
        said.seek(0)
        log = said.read()
    traces = log.count("Traceback")
    if traces:
        print(log[log.index("Traceback") :][:5000])
    print(f"noise: {connections} connections in {minutes:g} min; a good stream then ends with {last}")
    print(f"  places all free: {free}; file descriptors {fds_before} -> {fds}; RSS {rss_before:.0f} -> {rss:.0f} MiB")
    print(f"  tracebacks: {traces}; exit code {process.returncode}")
    return free and closed and not traces and last == "Finished"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    well = decoders(options.messages, rng)
    well &= packets(options.messages, rng)
    if options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            well &= sockets(options.minutes, rng, Path(folder) / "server.toml")
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
