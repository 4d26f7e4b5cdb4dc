"""A real store for the tests: Debian's valkey-server or redis-server, on a port of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 30.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def store_server(folder: Path, port: int | None = None, *options: str) -> Iterator[str]:
    """The address of a store that holds nothing."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("no valkey-server or redis-server here; .ci/run installs one")
    port = port or free_port()
    with subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            _await(port)
            yield f"valkey://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _await(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(b"PING\r\n")
            if link.recv(16).startswith(b"+PONG"):
                return
        assert time.monotonic() < deadline, "the store never answered"
        time.sleep(0.02)
