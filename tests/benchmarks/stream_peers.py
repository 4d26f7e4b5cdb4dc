"""What `streams.py --peer` measures in place of our server, on the same talks in real time: the lags [ms] of N streams.

"processes": one process a stream, each with a model of its own. "simulstream": the server of the simulstream package
with our model in its speech processors, which threads of one process share; text only. It needs
`pip install simulstream librosa` beside this package.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

RATE_HZ, PIECE_MS = 16_000, 160
SERVER = """
hostname: 127.0.0.1
port: {port}
pool_size: {count}
acquire_timeout: 10
metrics: {{enabled: false, filename: none.json}}
"""
PROCESSOR = """
type: streamst.integrations.simulstream.StreamstProcessor
speech_chunk_size: 0.16
latency: {latency}
"""


def processes(count: int, made: list[np.ndarray], latency: str, speech: bool) -> list[float]:
    """Lags from when a piece was said until its session has taken it."""
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    arguments = [(n, made[n % len(made)], latency, speech, found) for n in range(count)]
    family = [context.Process(target=one_process, args=a) for a in arguments]
    for one in family:
        one.start()
    lags = [lag for kind, value in (found.get() for _ in range(2 * count)) if kind == "lags" for lag in value]
    for one in family:
        one.join()
    return lags


def one_process(number: int, talk: np.ndarray, latency: str, speech: bool, found: Any) -> None:
    """Its own model and interpreter."""
    import torch

    from streamst.pipeline import load

    torch.set_num_threads(1)
    session = load(device="cpu", precision="auto").session(latency=latency, speech=speech)
    session.push(np.zeros(RATE_HZ, np.float32))
    found.put(("ready", number))
    time.sleep(3)
    pcm, size, lags = talk.astype(np.float32) / np.float32(32768), RATE_HZ * PIECE_MS // 1000, []
    start_s = time.perf_counter()
    for at in range(0, len(pcm), size):
        said_s = start_s + (at + size) / RATE_HZ
        time.sleep(max(0.0, said_s - time.perf_counter()))
        session.push(pcm[at : at + size])
        lags.append((time.perf_counter() - said_s) * 1000)
    found.put(("lags", lags))


def simulstream(count: int, made: list[np.ndarray], latency: str, speech: bool) -> list[float]:
    """Lags from when a piece was sent until the server answers it, which it does for every piece."""
    if speech:
        raise SystemExit("simulstream has no speech: measure it with --captions")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "server.yaml").write_text(SERVER.format(port=port, count=count))
        (Path(folder) / "speech.yaml").write_text(PROCESSOR.format(latency=latency))
        path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})"
        code = f"{path}; from simulstream.server.websocket_server import cli_main; cli_main()"
        command = [sys.executable, "-c", code, "--server-config", f"{folder}/server.yaml"]
        command += ["--speech-processor-config", f"{folder}/speech.yaml"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            return asyncio.run(_simulstream_crowd(count, made, f"ws://127.0.0.1:{port}"))
        finally:
            process.terminate()
            process.wait(30)


async def _simulstream_crowd(count: int, made: list[np.ndarray], url: str) -> list[float]:
    for _ in range(600):
        try:
            async with connect(url):
                break
        except OSError:
            await asyncio.sleep(0.5)

    async def speak(number: int) -> list[float]:
        await asyncio.sleep(3.0 * number / count)
        talk, size = made[number % len(made)], RATE_HZ * PIECE_MS // 1000
        sent_s, lags = [], []
        async with connect(url, proxy=None, max_size=None) as connection:
            await connection.send(json.dumps({"sample_rate": RATE_HZ, "source_lang": "en", "target_lang": "de"}))

            async def listen() -> None:
                async for message in connection:
                    if "end_of_processing" in str(message):
                        return
                    if len(lags) < len(sent_s):
                        lags.append((time.perf_counter() - sent_s[len(lags)]) * 1000)

            reader = asyncio.create_task(listen())
            start_s = time.perf_counter()
            for at in range(0, len(talk) // size * size, size):
                await asyncio.sleep(max(0.0, start_s + (at + size) / RATE_HZ - time.perf_counter()))
                sent_s.append(time.perf_counter())
                await connection.send(talk[at : at + size].tobytes())
            await connection.send(json.dumps({"end_of_stream": True}))
            await reader
        return lags

    return [lag for lags in await asyncio.gather(*(speak(n) for n in range(count))) for lag in lags]


PEERS: dict[str, Callable[[int, list[np.ndarray], str, bool], list[float]]] = {
    "processes": processes,
    "simulstream": simulstream,
}
