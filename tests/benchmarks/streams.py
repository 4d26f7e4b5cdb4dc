"""How many people may speak at once: a real server, N real websocket clients in real time, until the lag breaks.

    python tests/benchmarks/streams.py MANIFEST [--counts 1 2 4 8 16] [--seconds 60] [--workers 2] [--captions]
                                       [--peer processes|simulstream] [--overload 3] [--limit-ms 500] [--admit-all]
                                       [--recogniser NAME]

The clients take turns at four talks made of the manifest's clips. Lag is from when a client has sent an audio message
until the server says that it was heard (`ack`), so it has the network and every wait in it. The words that each client
got are compared with those of the same talk translated alone. Processor time is that of all the server's processes.
`--peer` measures something else in the server's place (`stream_peers.py`). `--overload 3` lets three times as many come
as the last count that held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from stream_peers import PEERS
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamst.audio import read_audio
from streamst.server.wire.native import SUBPROTOCOL, pack_audio

TALKS = 4
PIECE_MS = 160
RATE_HZ = 16_000


@dataclass
class Speaker:
    """One client and what it saw."""

    number: int
    sent_s: dict[int, float] = field(default_factory=dict)
    lags_ms: list[float] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    speech_samples: int = 0
    refused: str = ""
    refused_after_ms: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)


def talks(manifest: Path, seconds: float) -> list[np.ndarray]:
    """Four talks (samples,) int16 of `seconds`."""
    with manifest.open(encoding="utf-8") as file:
        paths = [manifest.parent / row["path"] for row in csv.DictReader(file, delimiter="\t")]
    made = []
    for number in range(TALKS):
        pieces, total = [], 0
        for path in paths[number::TALKS] * 20:
            if total >= seconds * RATE_HZ:
                break
            pcm = read_audio(path)
            pieces += [pcm, np.zeros(RATE_HZ // 2, np.float32)]
            total += len(pcm) + RATE_HZ // 2
        talk = np.concatenate(pieces)[: int(seconds * RATE_HZ)]
        made.append((talk * 32767).astype("<i2"))
    return made


def alone(talk: np.ndarray, latency: str, recogniser: str | None) -> list[str]:
    """The words of a talk that has the machine for itself, in chunks and a precision as the server has them."""
    import torch

    from streamst.events import Words
    from streamst.pipeline import load

    torch.set_num_threads(1)
    session = load(device="cpu", precision="auto", recogniser=recogniser).session(latency=latency, speech=False)
    pcm = talk.astype(np.float32) / np.float32(32768)
    events = [*session.push(pcm), *session.finish()]
    return [word for event in events if isinstance(event, Words) for word in event.words]


async def speak(speaker: Speaker, talk: np.ndarray, url: str, config: dict[str, Any]) -> None:
    """Send `talk` in real time, and note what comes."""
    begun_s = time.perf_counter()
    try:
        async with connect(url, subprotocols=[SUBPROTOCOL], max_size=None, compression=None) as socket:  # type: ignore[list-item]
            reader = asyncio.create_task(listen(speaker, socket, begun_s))
            size = RATE_HZ * PIECE_MS // 1000
            start_s = time.perf_counter()
            with contextlib.suppress(ConnectionClosed):  # what the server said before is still to be read
                await socket.send(json.dumps({"type": "config", **config}))
                for number, at in enumerate(range(0, len(talk), size)):
                    await asyncio.sleep(max(0.0, start_s + (at + size) / RATE_HZ - time.perf_counter()))
                    if reader.done():
                        break
                    speaker.sent_s[number] = time.perf_counter()
                    await socket.send(pack_audio("pcm16", number, at, talk[at : at + size].tobytes()))
                else:
                    await socket.send('{"type":"end"}')
            await reader
    except InvalidStatus as error:
        speaker.refused = f"HTTP {error.response.status_code}"
        speaker.refused_after_ms = (time.perf_counter() - begun_s) * 1000
    except ConnectionClosed as error:
        speaker.refused = speaker.refused or f"closed with {error.rcvd.code if error.rcvd else 1006}"


async def listen(speaker: Speaker, socket: Any, begun_s: float) -> None:
    async for message in socket:
        now_s = time.perf_counter()
        if isinstance(message, bytes):
            speaker.speech_samples += (len(message) - 12) // 2
            continue
        told = json.loads(message)
        match told["type"]:
            case "ack":
                sent_s = speaker.sent_s.get(told["sequence"])
                if sent_s is not None:
                    speaker.lags_ms.append((now_s - sent_s) * 1000)
            case "words":
                speaker.words += told["words"]
            case "error":
                speaker.refused = f"{told['code']} {told['message']}"
                speaker.refused_after_ms = (now_s - begun_s) * 1000
            case "closed":
                speaker.summary = told["summary"]
            case _:
                pass


async def crowd(count: int, made: list[np.ndarray], url: str, config: dict[str, Any]) -> list[Speaker]:
    """`count` speakers who come one after the other within three seconds."""
    speakers = [Speaker(number) for number in range(count)]

    async def come(speaker: Speaker) -> None:
        await asyncio.sleep(3.0 * speaker.number / count)
        await speak(speaker, made[speaker.number % TALKS], url, config)

    await asyncio.gather(*(come(speaker) for speaker in speakers))
    return speakers


def percentile(values: list[float], q: float) -> float:
    return float(np.percentile(values, q)) if values else float("nan")


def server(options: argparse.Namespace, places: int) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable, "-m", "streamst", "serve", "--port", "0", "--device", options.device,
        "--max-sessions", str(places), "--workers", str(options.workers),
    ]  # fmt: skip
    command += ["--recogniser", options.recogniser] if options.recogniser else []
    config = Path(tempfile.mkdtemp()) / "streamst.toml"
    admitting = "refuse_when_busy = false\nrelieve_when_busy = false\n" if options.admit_all else ""
    config.write_text(f"address_sessions = 0\naddress_connections = 0\n{admitting}")
    command += ["--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "http" in line:
            return process, "ws" + line.split("http")[1].split()[0] + "/v1/stream"
    raise SystemExit("the server did not start")


def family(process: subprocess.Popen[str]) -> list[Path]:
    """The server and its worker processes, in /proc (Linux)."""
    found = [Path("/proc") / str(process.pid)]
    for root in found:
        children = [child for path in root.glob("task/*/children") for child in path.read_text().split()]
        found += [root.parent / child for child in children]
    return found


def memory_mb(process: subprocess.Popen[str]) -> float:
    """Resident memory of the server with its worker processes."""
    lines = [line for root in family(process) for line in (root / "status").read_text().splitlines()]
    return sum(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def spent_s(process: subprocess.Popen[str]) -> float:
    """Processor time of the server with its worker processes."""
    fields = [(root / "stat").read_text().rpartition(")")[2].split() for root in family(process)]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8, 12, 16, 24, 32, 40, 48])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--latency", default="low")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--recogniser", help="else the model's: own, ear, whisper:DIR, moonshine:DIR")
    parser.add_argument("--captions", action="store_true", help="no speech")
    parser.add_argument("--peer", choices=sorted(PEERS))
    parser.add_argument("--overload", type=int, default=0)
    parser.add_argument("--admit-all", action="store_true", help="refuse nobody who has a place, and relieve nobody")
    parser.add_argument("--limit-ms", type=float, default=500)
    options = parser.parse_args()
    made = talks(options.manifest, options.seconds)
    if options.peer:
        for count in options.counts:
            lags = PEERS[options.peer](count, made, options.latency, not options.captions)
            p95 = percentile(lags, 95)
            print(
                f"{options.peer} {count:3d} speakers: lag p50 {percentile(lags, 50):6.0f} p95 {p95:6.0f} ms", flush=True
            )
            if p95 > options.limit_ms:
                return
        return
    expected = [alone(talk, options.latency, options.recogniser) for talk in made]
    config = {"latency": options.latency, "output": ["captions"] if options.captions else ["captions", "audio"]}
    held = 0
    process, url = server(options, max(options.counts) * max(1, options.overload))
    try:
        for count in options.counts:
            before_s = spent_s(process)
            speakers = asyncio.run(crowd(count, made, url, config))
            p95 = report(f"{count:3d} speakers", speakers, expected, process)
            talked_s = options.seconds * sum(not speaker.refused for speaker in speakers)
            cost = (spent_s(process) - before_s) / talked_s if talked_s else float("nan")
            print(f"  {cost:.4f} s of processor time for a second of talk", flush=True)
            if p95 > options.limit_ms:
                break
            held = max(held, sum(not speaker.refused for speaker in speakers))
        cores = len(os.sched_getaffinity(0))
        print(f"{held} speakers at p95 lag under {options.limit_ms:.0f} ms on {cores} cores: {held / cores:g} a core")
        if options.overload and held:
            before = memory_mb(process)
            speakers = asyncio.run(crowd(held * options.overload, made, url, config))
            report(f"{held * options.overload:3d} speakers", speakers, expected, process)
            refused = [s for s in speakers if s.refused]
            slowest = max((s.refused_after_ms for s in refused), default=0.0)
            print(f"  {len(refused)} refused, the slowest after {slowest:.0f} ms: {[s.refused for s in refused][:1]}")
            print(f"  memory {before:.0f} -> {memory_mb(process):.0f} MB")
    finally:
        process.terminate()
        process.wait(30)


def report(name: str, speakers: list[Speaker], expected: list[list[str]], process: subprocess.Popen[str]) -> float:
    served = [s for s in speakers if not s.refused]
    lags = [lag for s in served for lag in s.lags_ms]
    same = sum(s.words == expected[s.number % TALKS] for s in served)
    print(
        f"{name}: {len(served)} served, lag p50 {percentile(lags, 50):6.0f} p95 {percentile(lags, 95):6.0f} "
        f"p99 {percentile(lags, 99):6.0f} ms, text as alone {same}/{len(served)}, "
        f"memory {memory_mb(process):.0f} MB",
        flush=True,
    )
    return percentile(lags, 95)


if __name__ == "__main__":
    main()
