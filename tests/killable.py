"""Nodes that can be killed and are back at once: a process that has loaded the model forks one for each.

As a program: `killable.py MODEL RECOGNISER OPTIONS`; OPTIONS of the server as JSON. It reads a port, and by how many
seconds the clock there is fast, a line each, and prints the process that then serves there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

PATIENCE_S = 120.0


class Nodes:
    """Nodes by their ports."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._pids: dict[int, int] = {}

    def start(self, port: int, fast_s: float = 0.0) -> str:
        """Serve on `port`, by a clock that is fast; the address, once it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(port, fast_s, file=self._process.stdin, flush=True)
        self._pids[port] = int(self._process.stdout.readline())
        deadline = time.monotonic() + PATIENCE_S
        while self.sessions(port) is None:
            assert time.monotonic() < deadline, "a node never answered"
            time.sleep(0.02)
        return f"ws://127.0.0.1:{port}"

    def pid(self, port: int) -> int:
        """The process of a node."""
        return self._pids[port]

    def kill(self, port: int) -> None:
        """End the node at once."""
        os.kill(self._pids.pop(port), signal.SIGKILL)

    def send(self, port: int, what: int) -> None:
        """Send the node a signal that it lives on with."""
        os.kill(self._pids[port], what)

    def sessions(self, port: int) -> int | None:
        """How many sessions a node has; None where it does not answer."""
        address = f"http://127.0.0.1:{port}/healthz"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError), direct.open(address, timeout=PATIENCE_S) as response:
            return json.loads(response.read())["sessions"]
        return None

    def holder(self) -> int | None:
        """The port of the node that has a session."""
        return next((port for port in self._pids if self.sessions(port)), None)


@contextlib.contextmanager
def killable(model: str, recogniser: str = "", **options: Any) -> Iterator[Nodes]:
    """Nodes with these options, that are all gone in the end."""
    command = [sys.executable, __file__, model, recogniser, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        nodes = Nodes(process)
        try:
            yield nodes
        finally:
            for port in [*nodes._pids]:
                nodes.kill(port)
            process.kill()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(model: str, recogniser: str, options: str) -> None:
    """Fork a node for each port that is asked for."""
    import torch

    from streamst.pipeline import load
    from streamst.server.app import serve
    from streamst.server.operator.options import ServerOptions

    torch.set_num_threads(1)
    pipeline = load(model, recogniser=recogniser or None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tell("ready")
    for line in sys.stdin:
        port, fast_s = line.split()
        pid = os.fork()
        if not pid:
            time.time = partial(lambda right, fast_s: right() + fast_s, time.time, float(fast_s))
            serve(pipeline, ServerOptions(**{**json.loads(options), "port": int(port)}), announce=lambda _: None)
            os._exit(0)
        tell(str(pid))


if __name__ == "__main__":
    main(*sys.argv[1:])
