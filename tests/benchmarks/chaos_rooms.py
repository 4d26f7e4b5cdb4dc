"""What a bad network costs a room: `python tests/benchmarks/chaos_rooms.py [TALK.wav] [--listeners 50] [--minutes 1]`.

One speaker and many listeners, each through a network of its own (`chaos.py`) that holds every packet for a random time
up to the jitter, 200 ms longer for the share that TCP would have to send again, and cuts the connection without a word
several times, at random places of either direction. So what one sends overtakes what another sends; inside a connection
TCP keeps the order. Prints for how many listeners the text of both languages is the speaker's, and how many words they
lost or got twice, together; and the same for the speaker beside a session that has no network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from chaos import LATENCY, POLICY, RATE, SAMPLE, Got, Proxy, differences, server, spoken

from streamst.audio import Pcm, from_pcm16, read_audio, to_pcm16
from streamst.client import listen, stream
from streamst.errors import UnavailableError
from streamst.pipeline import load
from streamst.server.wire.seam import Settings

SETTINGS = Settings(policy=POLICY, latency=LATENCY, output=("captions",))


@contextlib.asynccontextmanager
async def bad_network(
    port: int, options: argparse.Namespace, through: int, seed: int
) -> AsyncIterator[tuple[str, Proxy]]:
    """An address that leads to the server, with cuts at random places of `through` bytes."""
    rng = random.Random(seed)
    cuts = sorted(rng.randint(1, through) for _ in range(options.cuts))
    proxy = Proxy(port, options.jitter_ms, options.loss, cuts, rng)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}", proxy
    finally:
        listener.close()


def words_of(got: Got, lang: str) -> list[str]:
    """The words of the newest caption of each segment."""
    newest: dict[int, str] = {segment: stable for told, segment, _, stable, _ in got.captions if told == lang}
    return [word for segment in sorted(newest) for word in newest[segment].split()]


async def scene(port: int, pcm: Pcm, options: argparse.Namespace) -> tuple[Got, list[Got], list[Proxy]]:
    """What the speaker and the listeners got, and the networks that they stood behind."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/sessions", b'{"room": true}')
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        place = json.load(answer)
    proxies: list[Proxy] = []
    async with contextlib.AsyncExitStack() as stack:

        async def behind(through: int, seed: int) -> str:
            address, proxy = await stack.enter_async_context(bad_network(port, options, through, seed))
            proxies.append(proxy)
            return address

        async def hear(seed: int, there: asyncio.Event) -> Got:
            got = Got()
            address = await behind(round(600 * len(pcm) / RATE), seed)  # about what captions take
            while True:
                try:
                    async for event in listen(f"http://{address}{place['room']['url']}", patience_s=300):
                        there.set()
                        got.take(event)
                    return got
                except UnavailableError:  # cut before its first welcome: whose link opens nothing opens it once more
                    if there.is_set():
                        raise

        there = [asyncio.Event() for _ in range(options.listeners)]
        speaker = Got()
        async with asyncio.TaskGroup() as group:  # one that fails ends all
            listeners = [group.create_task(hear(options.seed + 1 + n, one)) for n, one in enumerate(there)]
            await asyncio.gather(*(one.wait() for one in there))
            address = await behind(2 * len(pcm), options.seed)
            async for event in stream(f"ws://{address}", spoken(pcm, options.speed), SETTINGS, token=place["token"]):
                speaker.take(event)
        return speaker, [one.result() for one in listeners], proxies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("talk", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--listeners", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cuts", type=int, default=5, help="Of each one's connections.")
    parser.add_argument("--jitter-ms", type=float, default=200.0)
    parser.add_argument("--loss", type=float, default=0.05, help="Share of packets that have to be sent again.")
    parser.add_argument("--speed", type=float, default=1.0, help="Of the speaker, in real time.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pcm = from_pcm16(to_pcm16(np.resize(read_audio(options.talk), round(options.minutes * 60 * RATE))))
    expected = Got()
    session = load("en-de", precision="auto").session(policy=POLICY, latency=LATENCY, speech=False)
    for at in range(0, len(pcm), RATE):
        for event in session.push(pcm[at : at + RATE]):
            expected.take(event)
    for event in session.finish():
        expected.take(event)
    with server(0) as (_, port):
        speaker, listeners, proxies = asyncio.run(scene(port, pcm, options))
    cuts, connections = sum(proxy.done for proxy in proxies), sum(proxy.connections for proxy in proxies)
    print(f"{options.minutes:g} min, jitter {options.jitter_ms:g} ms, {100 * options.loss:g} % of packets twice")
    print(f"{cuts} cuts, {connections} connections of {len(proxies)} clients")
    lost, doubled = differences(expected.words, speaker.words)
    print(f"speaker: {len(expected.words)} words expected, lost {lost}, too many {doubled}")
    for lang in ("en", "de"):
        wanted = words_of(speaker, lang)
        each = [differences(wanted, words_of(one, lang)) for one in listeners]
        same = sum(words_of(one, lang) == wanted for one in listeners)
        lost, doubled = (sum(column) for column in zip(*each, strict=True))
        told = f"{len(wanted)} words; equal for {same} of {len(listeners)} listeners"
        print(f"{lang}: {told}, lost {lost}, too many {doubled}")


if __name__ == "__main__":
    main()
