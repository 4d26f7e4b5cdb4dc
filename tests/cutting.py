"""A network that fails: what the tests of clients and of adapters share."""

from __future__ import annotations

import asyncio
import random


class CuttingProxy:
    """Passes bytes on between a client and a server, late, and cuts each connection after some, without a word."""

    def __init__(
        self, address: str, seed: int, cuts: int, most_bytes: int, least_bytes: int = 1, late_ms: float = 0.0
    ) -> None:
        self.host, port = address.removeprefix("http://").split(":")
        self.port = int(port)
        self.random = random.Random(seed)
        self.cuts_left, self.cuts, self.late_ms = cuts, 0, late_ms
        self.least_bytes, self.most_bytes = least_bytes, most_bytes

    async def __aenter__(self) -> CuttingProxy:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        left = self.random.randint(self.least_bytes, self.most_bytes) if self.cuts_left > 0 else None
        self.cuts_left -= 1

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal left
            while data := await source.read(4096):
                await asyncio.sleep(self.random.uniform(0, self.late_ms) / 1000)
                if left is not None:
                    sink.write(data[: max(0, left)])
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        return
                else:
                    sink.write(data)
                await sink.drain()

        ways = [asyncio.create_task(pump(reader, there_writer)), asyncio.create_task(pump(there_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (writer, there_writer):
                side.transport.abort()
